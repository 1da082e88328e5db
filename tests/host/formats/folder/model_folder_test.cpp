#include "host/formats/folder/model_folder.h"

#include <cstdlib>
#include <string>

#include "host/formats/checkpoint.h"
#include "tests/support/errors.h"
#include "tests/support/sharded_model.h"

namespace deadray::test {
namespace {

std::string folder_error(const fs::path& model, ExitCode code = ExitCode::malformed,
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
  EXPECT_TRUE(contains(folder_error(folder.path(), ExitCode::malformed, true),
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
  EXPECT_TRUE(contains(folder_error(folder.path()),
                       "one.safetensors, two.safetensors and no model.safetensors"));
}

TEST(ModelFolderTest, ListsWhatAFolderWithoutWeightsHolds) {
  const TemporaryFolder folder;
  EXPECT_TRUE(
      contains(folder_error(folder.path(), ExitCode::unsupported), "no weights: found nothing"));
  folder.write("config.json", "{}");
  folder.write("README.md", "");
  EXPECT_TRUE(contains(folder_error(folder.path(), ExitCode::unsupported),
                       "no weights: found README.md, config.json, expected model.safetensors, its "
                       "index, or a .bin, .gguf or .npz file"));
}

TEST(ModelFolderTest, NamesTheFoldersInsideThatHoldWeights) {
  const TemporaryFolder folder;
  folder.write("checkpoint-500/model.safetensors", one_tensor("a"));
  folder.write("logs/events.txt", "");
  EXPECT_TRUE(contains(folder_error(folder.path(), ExitCode::unsupported),
                       "; checkpoint-500 in it holds weights: give that"));
  folder.write("checkpoint-1000/pytorch_model.bin", "PK");
  EXPECT_TRUE(contains(folder_error(folder.path(), ExitCode::unsupported),
                       "; checkpoint-1000, checkpoint-500 in it hold weights: give one of these"));
  const TemporaryFolder cache;
  cache.write("models--o--n/snapshots/abc/model.safetensors", one_tensor("a"));
  EXPECT_TRUE(contains(folder_error(cache / "models--o--n", ExitCode::unsupported),
                       "; snapshots/abc in it holds weights: give that"));
}

TEST(ModelFolderTest, TellsANameOfTheHub) {
  const TemporaryFolder cache;
  setenv("HF_HUB_CACHE", cache.path().c_str(), 1);
  EXPECT_TRUE(contains(folder_error("org/name", ExitCode::usage),
                       "org/name: no such file or folder; if it is a name of the hub: `hf download "
                       "org/name` fetches it and prints the folder to give"));
  const std::string snapshot = "models--org--name/snapshots/abc";
  cache.write(snapshot + "/config.json", "{}");
  cache.write(snapshot + "/model.safetensors", one_tensor("a"));
  EXPECT_TRUE(
      contains(folder_error("org/name", ExitCode::usage),
               "; the hub's cache holds such a model: give " + (cache / snapshot).string()));
  for (const char* path : {"/org/name", "org/name/x", "../name", "org/", "model.safetensors"})
    EXPECT_TRUE(folder_error(path, ExitCode::usage).ends_with("no such file or folder")) << path;
  EXPECT_TRUE(contains(folder_error("name", ExitCode::usage),
                       "; if it is a model of the hub: give its whole name, org/name"));
  unsetenv("HF_HUB_CACHE");
}

/// A torch.save() file of another name.
const std::string kBin = read_text(DEADRAY_FIXTURES "/containers/pytorch/types.bin");
const std::string kNpz = read_text(DEADRAY_FIXTURES "/containers/numpy/plain.npz");

TEST(ModelFolderTest, TakesPyTorchsFilesWhereThereAreNoSafetensors) {
  for (const char* name :
       {"pytorch_model.bin", "consolidated.00.pth", "model.pt", "nanogpt.ckpt", "lit.bin"}) {
    const TemporaryFolder folder;
    folder.write(name, kBin);
    for (const char* beside : {"training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth",
                               "rng_state_0.pth", "random_states_0.pt", "scaler.pt"})
      folder.write(beside, "no weights");
    const Checkpoint checkpoint = Checkpoint::open(folder.path());
    EXPECT_EQ(checkpoint.files(), std::vector<fs::path>{folder / name});
    EXPECT_TRUE(checkpoint.notes().empty()) << name;
    folder.write("weights.npz", kNpz);
    const Checkpoint first = Checkpoint::open(folder.path());
    ASSERT_EQ(first.notes().size(), 1U);
    EXPECT_TRUE(contains(first.notes()[0], name + std::string(" is taken, not weights.npz")));
    EXPECT_TRUE(
        contains(folder_error(folder.path(), ExitCode::malformed, true), "more than one set"));
  }
}

TEST(ModelFolderTest, TakesTheOneOfSeveralFilesThatIsCalledAsWeightsAre) {
  const TemporaryFolder folder;
  folder.write("one.pt", kBin), folder.write("two.pt", kBin);
  EXPECT_TRUE(contains(folder_error(folder.path()),
                       "one.pt, two.pt and no pytorch_model.bin or pytorch_model.bin.index.json"));
  folder.write("pytorch_model.bin", kBin);
  const Checkpoint checkpoint = Checkpoint::open(folder.path());
  EXPECT_EQ(checkpoint.files(), std::vector<fs::path>{folder / "pytorch_model.bin"});
  EXPECT_TRUE(checkpoint.notes().empty());
}

TEST(ModelFolderTest, ReadsShardsOfPyTorchByIndexOrByNumber) {
  const fs::path shards = DEADRAY_FIXTURES "/containers/pytorch/gpt2-shards";
  const std::size_t whole = Checkpoint::open(DEADRAY_FIXTURES "/models/gpt2-tied").tensors().size();
  for (const fs::path& model : {shards, shards / "pytorch_model.bin.index.json",
                                shards / "pytorch_model-00001-of-00002.bin"})
    EXPECT_EQ(Checkpoint::open(model).tensors().size(), whole) << model;
  EXPECT_TRUE(contains(folder_error(shards / "pytorch_model-00002-of-00002.bin", ExitCode::usage),
                       "is part 2 of 2: give the first part, " +
                           (shards / "pytorch_model-00001-of-00002.bin").string()));

  const TemporaryFolder folder;
  const auto copy = [&](const std::string& name) { fs::copy(shards / name, folder / name); };
  copy("pytorch_model-00001-of-00002.bin");
  for (const fs::path& model : {folder.path(), folder / "pytorch_model-00001-of-00002.bin"})
    EXPECT_TRUE(
        contains(folder_error(model), "these are missing: pytorch_model-00002-of-00002.bin"));
  copy("pytorch_model-00002-of-00002.bin");
  const Checkpoint checkpoint = Checkpoint::open(folder.path());
  EXPECT_EQ(checkpoint.tensors().size(), whole);
  ASSERT_EQ(checkpoint.notes().size(), 1U);
  EXPECT_TRUE(contains(checkpoint.notes()[0], "no index of the shards"));
}

/// Which files are taken is decided by names: the content comes after.
TEST(ModelFolderTest, TakesOneGgufOrAllPartsOfOne) {
  const TemporaryFolder folder;
  folder.write("model-00001-of-00002.gguf", ""), folder.write("model-00002-of-00002.gguf", "");
  const WeightFiles parts{
      folder / "model-00001-of-00002.gguf",
      false,
      {},
      {folder / "model-00001-of-00002.gguf", folder / "model-00002-of-00002.gguf"}};
  for (const fs::path& model : {folder.path(), parts.file}) {
    const WeightFiles found = find_weights(model, false);
    EXPECT_EQ(found.file, parts.file);
    EXPECT_EQ(found.shards, parts.shards);
  }
  EXPECT_TRUE(contains(message_of(ExitCode::usage, [&] { find_weights(parts.shards[1], false); }),
                       "is part 2 of 2: give the first part"));
  folder.write("model-Q4_K_M.gguf", ""), folder.write("mmproj-model.gguf", "");
  EXPECT_TRUE(contains(folder_error(folder.path()),
                       "model-00001-of-00002.gguf, model-00002-of-00002.gguf, model-Q4_K_M.gguf: "
                       "each is a set of weights of its own: give the file"));
  fs::remove(folder / "model-00001-of-00002.gguf");
  EXPECT_TRUE(contains(folder_error(folder.path()), "give the file"));
  fs::remove(folder / "model-00002-of-00002.gguf");
  EXPECT_EQ(find_weights(folder.path(), false).file, folder / "model-Q4_K_M.gguf");
  folder.write("pytorch_model.bin", "");
  const WeightFiles first = find_weights(folder.path(), false);
  EXPECT_EQ(first.file, folder / "pytorch_model.bin");
  ASSERT_EQ(first.notes.size(), 1U);
  EXPECT_TRUE(contains(first.notes[0], "is taken, not model-Q4_K_M.gguf"));
}

TEST(ModelFolderTest, SaysWhatAFileIsInPlaceOfWeights) {
  const TemporaryFolder folder;
  for (const char* name : {"pytorch_model.bin", "model.gguf", "model.npz", "model.pth"}) {
    EXPECT_TRUE(contains(folder_error(folder.write(name, "")), "too short: 0 bytes"));
    EXPECT_TRUE(
        contains(folder_error(folder.write(name, "version https://git-lfs.github.com/spec")),
                 "is a git-LFS pointer"));
    EXPECT_TRUE(
        contains(folder_error(folder.write(name, "<!DOCTYPE html><html>")), "is a web page"));
    EXPECT_TRUE(
        contains(folder_error(folder.write(name, "../../blobs/0a1b\n")), "target of a link"));
    EXPECT_TRUE(contains(folder_error(folder.write(name, std::string(100, '\xee'))),
                         "begins with '\\xee\\xee\\xee\\xee\\xee\\xee\\xee\\xee', expected "));
  }
}

TEST(ModelFolderTest, AsksForTheBaseModelOfAnAdapter) {
  const TemporaryFolder folder;
  folder.write("adapter_model.safetensors", one_tensor("a"));
  folder.write("adapter_config.json", R"({"base_model_name_or_path": "some/base"})");
  EXPECT_TRUE(contains(folder_error(folder.path(), ExitCode::unsupported),
                       "no norms here; give the base model 'some/base'"));
  folder.write("adapter_config.json", "broken");
  EXPECT_TRUE(contains(folder_error(folder.path(), ExitCode::unsupported),
                       "no norms here; give the base model"));
}

TEST(ModelFolderTest, ReadsShardsWithoutAnIndexWhereAllAreThere) {
  const TemporaryFolder folder;
  folder.write("model-00001-of-00002.safetensors", one_tensor("b"));
  EXPECT_TRUE(
      contains(folder_error(folder.path()), "these are missing: model-00002-of-00002.safetensors"));
  folder.write("model-00002-of-00002.safetensors", one_tensor("a"));
  const Checkpoint checkpoint = Checkpoint::open(folder.path());
  EXPECT_EQ(checkpoint.tensors().size(), 2U);
  EXPECT_EQ(checkpoint.tensors()[0].name, "a");
  ASSERT_EQ(checkpoint.notes().size(), 1U);
  EXPECT_TRUE(contains(checkpoint.notes()[0], "no index of the shards"));
  folder.write("model-00002-of-00002.safetensors", one_tensor("b"));
  EXPECT_TRUE(contains(folder_error(folder.path()), "tensor 'b' is in"));
}

TEST(ModelFolderTest, SaysThatAStaleIndexStandsBesideAWholeSet) {
  const TemporaryFolder folder;
  folder.write("model.safetensors.index.json",
               R"({"weight_map": {"a": "model-00001-of-00003.safetensors"}})");
  folder.write("model-00001-of-00001.safetensors", one_tensor("a"));
  EXPECT_TRUE(
      contains(folder_error(folder.path()), "if the index is of another download, remove it"));
}

TEST(ModelFolderTest, NamesLinksThatLeadNowhere) {
  const TemporaryFolder folder;
  fs::create_symlink("../../blobs/0a1b", folder / "model.safetensors");
  EXPECT_TRUE(contains(folder_error(folder.path()), "is a link to ../../blobs/0a1b"));
  EXPECT_TRUE(
      contains(folder_error(folder / "model.safetensors"), "is a link to ../../blobs/0a1b"));
  fs::remove(folder / "model.safetensors");
  folder.write("model.safetensors", "../../blobs/0a1b\n");
  EXPECT_TRUE(contains(folder_error(folder.path()), "the target of a link, not weights"));
}

TEST(ModelFolderTest, TakesNoFolderForAFile) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "model.safetensors");
  EXPECT_TRUE(contains(folder_error(folder.path()), "is a folder, expected a regular file"));
}

TEST(ModelFolderTest, SaysWhereSentenceTransformersKeepsTheModel) {
  const TemporaryFolder folder;
  folder.write("modules.json", R"([{"idx": 0, "path": "0_Transformer"}])");
  fs::create_directory(folder / "0_Transformer");
  EXPECT_TRUE(contains(folder_error(folder.path(), ExitCode::unsupported),
                       (folder / "0_Transformer").string() + ": give that folder"));
}

TEST(ModelFolderTest, SaysThatAnAdaptersOwnNormsReplaceThoseOfTheModel) {
  const TemporaryFolder folder;
  folder.write("adapter_config.json", R"({"base_model_name_or_path": "org/base"})");
  folder.write("adapter_model.safetensors", one_tensor("layers.0.input_layernorm.weight"));
  EXPECT_TRUE(contains(folder_error(folder.path(), ExitCode::unsupported),
                       "merge it into the base model 'org/base' first"));
}

}  // namespace
}  // namespace deadray::test
