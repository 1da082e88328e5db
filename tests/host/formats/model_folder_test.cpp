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
  for (const char* name : {"pytorch_model.bin", "model-q4.gguf", "consolidated.00.pth"}) {
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

}  // namespace
}  // namespace deadray::test
