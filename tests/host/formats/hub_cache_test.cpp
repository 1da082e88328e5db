#include "host/formats/hub_cache.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <map>

#include "host/formats/folder/model_folder.h"
#include "tests/support/errors.h"
#include "tests/support/temporary_folder.h"

namespace deadray::test {
namespace {

const std::string kCommit(40, 'a'), kOther(40, 'b');

using Variables = std::map<std::string, std::string>;

/// Environment variables for one test; those that are not given are unset.
class Environment {
 public:
  explicit Environment(const Variables& values) {
    for (const char* name :
         {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME", "HOME"}) {
      if (const char* value = std::getenv(name)) before_[name] = value;
      unsetenv(name);
    }
    for (const auto& [name, value] : values) setenv(name.c_str(), value.c_str(), 1);
  }
  ~Environment() {
    for (const char* name :
         {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME", "HOME"})
      unsetenv(name);
    for (const auto& [name, value] : before_) setenv(name.c_str(), value.c_str(), 1);
  }

 private:
  Variables before_;
};

class HubCacheTest : public testing::Test {
 protected:
  fs::path model() const { return folder_ / "models--org--name"; }
  /// A file of a snapshot as the hub's tools lay it: a link into blobs/.
  void add(const std::string& commit, const std::string& name, bool with_blob = true) {
    const std::string blob = commit.substr(0, 4) + name;
    if (with_blob) folder_.write("models--org--name/blobs/" + blob, "{}");
    fs::create_directories(model() / "snapshots" / commit);
    fs::create_symlink("../../blobs/" + blob, model() / "snapshots" / commit / name);
  }
  void add_model(const std::string& commit) {
    add(commit, "config.json"), add(commit, "model.safetensors");
  }
  void refer(const std::string& revision, const std::string& text) {
    folder_.write("models--org--name/refs/" + revision, text);
  }
  CachedModel find(const std::string& revision = {}) const {
    return find_cached_model(folder_.path(), "org/name", revision);
  }

  TemporaryFolder folder_;
};

TEST_F(HubCacheTest, IsWhereTheEnvironmentSays) {
  {
    const Environment environment(
        Variables{{"HF_HUB_CACHE", "/a"}, {"HF_HOME", "/b"}, {"HOME", "/home/x"}});
    EXPECT_EQ(hub_cache(), "/a");
  }
  {
    const Environment environment(Variables{{"HF_HOME", "/b"}, {"XDG_CACHE_HOME", "/c"}});
    EXPECT_EQ(hub_cache(), "/b/hub");
  }
  {
    const Environment environment(Variables{{"XDG_CACHE_HOME", "/c"}, {"HOME", "/home/x"}});
    EXPECT_EQ(hub_cache(), "/c/huggingface/hub");
  }
  const Environment environment(Variables{{"HOME", "/home/x"}});
  EXPECT_EQ(hub_cache(), "/home/x/.cache/huggingface/hub");
}

TEST_F(HubCacheTest, FollowsTheReferenceToItsSnapshot) {
  add_model(kCommit), add_model(kOther);
  refer("main", kOther);
  refer("refs/pr/1", kCommit + "\n");  // some writers end it with a newline
  EXPECT_EQ(find().folder, model() / "snapshots" / kOther);
  EXPECT_EQ(find().commit, kOther);
  EXPECT_EQ(find().missing, "");
  EXPECT_EQ(find("refs/pr/1").commit, kCommit);
  EXPECT_EQ(find(kCommit).commit, kCommit);
}

TEST_F(HubCacheTest, ReadsACacheWithoutReferences) {
  add_model(kCommit);
  EXPECT_EQ(find().commit, kCommit);
  add_model(kOther);
  fs::last_write_time(model() / "snapshots" / kCommit,
                      fs::file_time_type::clock::now() + std::chrono::hours(1));
  EXPECT_EQ(find().commit, kCommit) << "the newest";
  EXPECT_EQ(find(kOther).commit, kOther);
  EXPECT_TRUE(contains(find("v2").missing, "no snapshot of revision v2"));
}

TEST_F(HubCacheTest, TellsRepositoryAndCommitFromASnapshotsPlace) {
  add_model(kCommit);
  const fs::path snapshot = model() / "snapshots" / kCommit;
  fs::create_directory_symlink(snapshot, folder_ / "link");
  for (const fs::path& path :
       {snapshot, snapshot / "", folder_ / "link", snapshot / "model.safetensors"}) {
    const auto found = hub_snapshot(path);
    ASSERT_TRUE(found.has_value()) << path;
    EXPECT_EQ(found->repository, "org/name") << path;
    EXPECT_EQ(found->commit, kCommit) << path;
  }
  EXPECT_EQ(model_name(snapshot), "name");
  EXPECT_EQ(model_name(folder_ / "link"), "name");
  EXPECT_EQ(model_name(snapshot / "model.safetensors"), "model.safetensors");
  folder_.write("models--gpt2/snapshots/" + kOther + "/config.json", "{}");
  EXPECT_EQ(hub_snapshot(folder_ / ("models--gpt2/snapshots/" + kOther))->repository, "gpt2");
  for (const char* elsewhere :
       {"mine/snapshots/abc/config.json", "models--a--b/snapshots/not a commit/config.json",
        "models--/snapshots/abc/config.json"})
    EXPECT_FALSE(hub_snapshot(folder_.write(elsewhere, "{}").parent_path()).has_value())
        << elsewhere;
  EXPECT_FALSE(hub_snapshot(model()).has_value());
  EXPECT_FALSE(hub_snapshot("/nowhere/at/all").has_value());
}

TEST_F(HubCacheTest, ReadsADegradedCacheOfCopies) {
  refer("main", kCommit);
  for (const char* name : {"config.json", "model.safetensors"})
    folder_.write("models--org--name/snapshots/" + kCommit + "/" + name, "{}");
  EXPECT_EQ(find().commit, kCommit);
  EXPECT_EQ(find().missing, "");
}

TEST_F(HubCacheTest, SaysWhatIsMissing) {
  EXPECT_TRUE(contains(find().missing, "not in " + folder_.path().string()));
  refer("main", kCommit);
  EXPECT_TRUE(contains(find().missing, "no snapshot of revision main"));
  add(kCommit, "model.safetensors");
  EXPECT_TRUE(contains(find().missing, "config.json is missing"));
  add(kCommit, "config.json");
  EXPECT_EQ(find().missing, "");
}

TEST_F(HubCacheTest, TakesAnInterruptedDownloadForNone) {
  refer("main", kCommit);
  add(kCommit, "config.json");
  EXPECT_TRUE(contains(find().missing, "model.safetensors is missing"));
  add(kCommit, "model.safetensors", /*with_blob=*/false);
  EXPECT_TRUE(contains(find().missing, "model.safetensors is missing"));
  EXPECT_TRUE(find().folder.empty());
}

TEST_F(HubCacheTest, WantsEveryShardOfAnIndex) {
  refer("main", kCommit);
  add(kCommit, "config.json");
  // PyTorch's first: of two sets the safetensors are read.
  for (const auto& [index, kind] :
       {std::pair<std::string, std::string>{"pytorch_model.bin.index.json", ".bin"},
        {"model.safetensors.index.json", ".safetensors"}}) {
    add(kCommit, "model-1" + kind), add(kCommit, index);
    const std::string blob = "models--org--name/blobs/" + kCommit.substr(0, 4) + index;
    fs::remove(folder_ / blob);
    folder_.write(
        blob, R"({"weight_map": {"a": "model-1)" + kind + R"(", "b": "model-2)" + kind + "\"}}");
    EXPECT_TRUE(contains(find().missing, "model-2" + kind + " is missing"));
    add(kCommit, "model-2" + kind);
    EXPECT_EQ(find().missing, "");
  }
}

TEST_F(HubCacheTest, NamesTheCommandThatDownloads) {
  EXPECT_EQ(download_command("org/name"), "hf download org/name");
  EXPECT_EQ(download_command("gpt2", "v1"), "hf download gpt2 --revision v1");
}

}  // namespace
}  // namespace deadray::test
