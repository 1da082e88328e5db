#include "host/formats/model_folder.h"

#include <string>

#include "host/formats/checkpoint.h"
#include "tests/support/errors.h"
#include "tests/support/sharded_model.h"

namespace deadray::test {
namespace {

std::string open_error(const fs::path& model, ExitCode code = ExitCode::malformed,
                       bool strict = false) {
  CheckpointOptions options;
  options.strict = strict;
  return message_of(code, [&] { Checkpoint::open(model, options); });
}

TEST(ModelFolderTest, SaysWhichOfTwoSetsIsTaken) {
  const TemporaryFolder folder;
  folder.write("model.safetensors", one_tensor("a"));
  folder.write("pytorch_model.bin", "PK");
  const Checkpoint checkpoint = Checkpoint::open(folder.path());
  ASSERT_EQ(checkpoint.notes().size(), 1u);
  EXPECT_TRUE(
      contains(checkpoint.notes()[0],
               "more than one set of weights: model.safetensors is taken, not pytorch_model.bin"));
  EXPECT_TRUE(contains(open_error(folder.path(), ExitCode::malformed, true),
                       "more than one set of weights"));

  const TemporaryFolder mistral;
  write_sharded(mistral);
  mistral.write("consolidated.safetensors", one_tensor("x"));
  const Checkpoint sharded = Checkpoint::open(mistral.path());
  ASSERT_EQ(sharded.notes().size(), 1u);
  EXPECT_TRUE(contains(sharded.notes()[0],
                       "model.safetensors.index.json is taken, not consolidated.safetensors"));
}

TEST(ModelFolderTest, RefusesSeveralFilesWithoutAnIndex) {
  const TemporaryFolder folder;
  write_sharded(folder);
  fs::remove(folder / "model.safetensors.index.json");
  EXPECT_TRUE(contains(open_error(folder.path()),
                       "one.safetensors, two.safetensors and no model.safetensors"));
}

TEST(ModelFolderTest, ListsWhatAFolderWithoutWeightsHolds) {
  const TemporaryFolder folder;
  EXPECT_TRUE(
      contains(open_error(folder.path(), ExitCode::unsupported), "no weights: found nothing"));
  folder.write("config.json", "{}");
  folder.write("README.md", "");
  EXPECT_TRUE(contains(open_error(folder.path(), ExitCode::unsupported),
                       "no weights: found README.md, config.json, expected model.safetensors"));
}

TEST(ModelFolderTest, SaysHowToConvertOtherFormats) {
  for (const char* name : {"pytorch_model.bin", "consolidated.00.pth"}) {
    const TemporaryFolder folder;
    const fs::path file = folder.write(name, "x");
    for (const fs::path& model : {folder.path(), file})
      EXPECT_TRUE(contains(open_error(model, ExitCode::unsupported),
                           "`scripts/convert " + file.string() + " OUT_FOLDER` converts it"));
  }
}

TEST(ModelFolderTest, AsksForTheBaseModelOfAnAdapter) {
  const TemporaryFolder folder;
  folder.write("adapter_model.safetensors", one_tensor("a"));
  folder.write("adapter_config.json", R"({"base_model_name_or_path": "some/base"})");
  EXPECT_TRUE(contains(open_error(folder.path(), ExitCode::unsupported),
                       "no norms here; give the base model 'some/base'"));
  folder.write("adapter_config.json", "broken");
  EXPECT_TRUE(contains(open_error(folder.path(), ExitCode::unsupported),
                       "no norms here; give the base model"));
}

TEST(ModelFolderTest, ReadsShardsWithoutAnIndexWhereAllAreThere) {
  const TemporaryFolder folder;
  folder.write("model-00001-of-00002.safetensors", one_tensor("b"));
  EXPECT_TRUE(
      contains(open_error(folder.path()), "these are missing: model-00002-of-00002.safetensors"));
  folder.write("model-00002-of-00002.safetensors", one_tensor("a"));
  const Checkpoint checkpoint = Checkpoint::open(folder.path());
  EXPECT_EQ(checkpoint.tensors().size(), 2U);
  EXPECT_EQ(checkpoint.tensors()[0].name, "a");
  ASSERT_EQ(checkpoint.notes().size(), 1U);
  EXPECT_TRUE(contains(checkpoint.notes()[0], "no index of the shards"));
  folder.write("model-00002-of-00002.safetensors", one_tensor("b"));
  EXPECT_TRUE(contains(open_error(folder.path()), "tensor 'b' is in"));
}

TEST(ModelFolderTest, SaysThatAStaleIndexStandsBesideAWholeSet) {
  const TemporaryFolder folder;
  folder.write("model.safetensors.index.json",
               R"({"weight_map": {"a": "model-00001-of-00003.safetensors"}})");
  folder.write("model-00001-of-00001.safetensors", one_tensor("a"));
  EXPECT_TRUE(
      contains(open_error(folder.path()), "if the index is of another download, remove it"));
}

TEST(ModelFolderTest, NamesLinksThatLeadNowhere) {
  const TemporaryFolder folder;
  fs::create_symlink("../../blobs/0a1b", folder / "model.safetensors");
  EXPECT_TRUE(contains(open_error(folder.path()), "is a link to ../../blobs/0a1b"));
  EXPECT_TRUE(contains(open_error(folder / "model.safetensors"), "is a link to ../../blobs/0a1b"));
  fs::remove(folder / "model.safetensors");
  folder.write("model.safetensors", "../../blobs/0a1b\n");
  EXPECT_TRUE(contains(open_error(folder.path()), "the target of a link, not weights"));
}

TEST(ModelFolderTest, TakesNoFolderForAFile) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "model.safetensors");
  EXPECT_TRUE(contains(open_error(folder.path()), "is a folder, expected a regular file"));
}

TEST(ModelFolderTest, SaysWhereSentenceTransformersKeepsTheModel) {
  const TemporaryFolder folder;
  folder.write("modules.json", R"([{"idx": 0, "path": "0_Transformer"}])");
  fs::create_directory(folder / "0_Transformer");
  EXPECT_TRUE(contains(open_error(folder.path(), ExitCode::unsupported),
                       (folder / "0_Transformer").string() + ": give that folder"));
}

TEST(ModelFolderTest, SaysThatAnAdaptersOwnNormsReplaceThoseOfTheModel) {
  const TemporaryFolder folder;
  folder.write("adapter_config.json", R"({"base_model_name_or_path": "org/base"})");
  folder.write("adapter_model.safetensors", one_tensor("layers.0.input_layernorm.weight"));
  EXPECT_TRUE(contains(open_error(folder.path(), ExitCode::unsupported),
                       "merge it into the base model 'org/base' first"));
}

}  // namespace
}  // namespace deadray::test
