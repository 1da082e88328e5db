#include <gtest/gtest.h>
#include <sys/stat.h>

#include <string>
#include <string_view>
#include <vector>

#include "host/formats/checkpoint.h"
#include "host/formats/folder/own_files.h"
#include "tests/support/errors.h"
#include "tests/support/sharded_model.h"

// A checkpoint is a folder that somebody else has packed: what is read of it lies in it.
// What an index may name is in shard_index_test.cpp.
namespace deadray::test {
namespace {

class PathsOutsideTest : public ::testing::Test {
 protected:
  PathsOutsideTest() {
    folder_.write("elsewhere/w", one_tensor("a"));
    fs::create_directory(model_);
  }
  void link(const fs::path& to, const std::string& name) const {
    fs::remove(model_ / name);
    fs::create_directories((model_ / name).parent_path());
    fs::create_symlink(to, model_ / name);
  }
  std::string complaint(const fs::path& model) const {
    return message_of(ExitCode::malformed, [&] { Checkpoint::open(model); });
  }

  TemporaryFolder folder_;
  const fs::path model_ = folder_ / "model", elsewhere_ = folder_ / "elsewhere/w";
};

TEST_F(PathsOutsideTest, AreNotReadThroughALinkWhateverTheFormat) {
  for (const char* name : {"model.safetensors", "pytorch_model.bin", "model.gguf", "model.npz"}) {
    for (const fs::path& to : {elsewhere_, fs::path("../elsewhere/w"), fs::path("/proc/version")}) {
      link(to, name);
      EXPECT_TRUE(contains(complaint(model_),
                           std::string(name) + ": is a link out of the model's folder, to "));
    }
    fs::remove(model_ / name);
  }
}

TEST_F(PathsOutsideTest, AreNotReadThroughAnIndexOrAShardThatIsALink) {
  folder_.write("elsewhere/index", index_of(R"("a":"w")"));
  link(folder_ / "elsewhere/index", "model.safetensors.index.json");
  EXPECT_TRUE(contains(complaint(model_), "index.json: is a link out of the model's folder"));
  fs::remove(model_ / "model.safetensors.index.json");
  folder_.write("model/model-00001-of-00002.safetensors", one_tensor("b"));
  link(elsewhere_, "model-00002-of-00002.safetensors");
  EXPECT_TRUE(contains(complaint(model_), "00002-of-00002.safetensors: is a link out"));
  // Of parts that belong to a file that was given, too.
  folder_.write("model/x-00001-of-00002.bin", one_tensor("b"));
  link(elsewhere_, "x-00002-of-00002.bin");
  EXPECT_TRUE(contains(complaint(model_ / "x-00001-of-00002.bin"), "00002.bin: is a link out"));
}

TEST_F(PathsOutsideTest, AreNotReadForAHintEither) {
  folder_.write("elsewhere/adapter", one_tensor("secret.norm.weight"));
  folder_.write("elsewhere/config", R"({"base_model_name_or_path": "secret"})");
  fs::create_directory(folder_ / "secret_inside");
  folder_.write("model/modules.json", R"([{"path": "../secret_inside"}])");
  const auto hint = [&] {
    return message_of(ExitCode::unsupported, [&] { Checkpoint::open(model_); });
  };
  EXPECT_EQ(hint().find("secret"), std::string::npos) << hint();
  link(folder_ / "elsewhere/adapter", "adapter_model.safetensors");
  link(folder_ / "elsewhere/config", "adapter_config.json");
  EXPECT_EQ(hint().find("secret"), std::string::npos) << hint();
}

TEST_F(PathsOutsideTest, MayBeNamedByTheUser) {
  link(elsewhere_, "model.safetensors");
  EXPECT_NE(Checkpoint::open(model_ / "model.safetensors").find("a"), nullptr);
  fs::create_directory_symlink(folder_ / "elsewhere", folder_ / "alias");
  fs::rename(elsewhere_, folder_ / "elsewhere/model.safetensors");
  EXPECT_NE(Checkpoint::open(folder_ / "alias").find("a"), nullptr);
}

TEST_F(PathsOutsideTest, AreNotWhereALinkStaysInTheFolder) {
  folder_.write("model/parts/w", one_tensor("a"));
  link("parts/w", "model.safetensors");
  EXPECT_NE(Checkpoint::open(model_).find("a"), nullptr);
}

TEST_F(PathsOutsideTest, AreNotTheBlobsOfTheHubsCache) {
  const fs::path snapshot = folder_ / "models--x/snapshots/c0";
  folder_.write("models--x/blobs/0a", one_tensor("a"));
  fs::create_directories(snapshot);
  fs::create_symlink("../../blobs/0a", snapshot / "model.safetensors");
  EXPECT_NE(Checkpoint::open(snapshot).find("a"), nullptr);
  // Blobs of another model are none of this one's.
  folder_.write("models--y/blobs/0a", one_tensor("a"));
  fs::remove(snapshot / "model.safetensors");
  fs::create_symlink("../../../models--y/blobs/0a", snapshot / "model.safetensors");
  EXPECT_TRUE(contains(complaint(snapshot), "is a link out"));
}

TEST_F(PathsOutsideTest, AreNamedByWhereTheLinkLeads) {
  EXPECT_EQ(outside(elsewhere_, folder_ / "elsewhere"), std::nullopt);
  EXPECT_EQ(outside(elsewhere_, model_), fs::canonical(elsewhere_));
  EXPECT_EQ(outside(model_ / "nothing", model_), std::nullopt);
}

// A pipe, a device, a folder in the place of a file: refused at once, never waited for.
TEST_F(PathsOutsideTest, AreNotReachedThroughPipesAndDevices) {
  for (const char* shard : {"zero", "stdin", "pipe", "folder"}) {
    folder_.write("model/model.safetensors.index.json",
                  index_of("\"a\":\"" + std::string(shard) + "\""));
    if (shard == std::string_view("pipe"))
      ASSERT_EQ(mkfifo((model_ / shard).c_str(), 0600), 0);
    else if (shard == std::string_view("folder"))
      fs::create_directory(model_ / shard);
    else
      link(fs::path("/dev") / shard, shard);
    EXPECT_NE(complaint(model_), "") << shard;
  }
}

TEST_F(PathsOutsideTest, OfAnIndexAreCountedBeforeTheyAreLookedFor) {
  std::string map;
  for (int i = 0; i < 100'000; ++i)
    map += (i == 0 ? "\"" : ",\"") + std::to_string(i) + "\":\"" + std::to_string(i) + "\"";
  folder_.write("model/model.safetensors.index.json", index_of(map));
  EXPECT_TRUE(contains(complaint(model_), "names 100000 shards, expected at most 99999"));
}

}  // namespace
}  // namespace deadray::test
