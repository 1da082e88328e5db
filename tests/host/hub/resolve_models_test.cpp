#include "host/hub/resolve_models.h"

#include "tests/support/errors.h"
#include "tests/support/stand_in_hub.h"
#include "tests/support/variable.h"

namespace deadray::test {
namespace {

const std::string kCommit(40, 'a');

class ResolveModelsTest : public testing::Test {
 protected:
  void SetUp() override {
    snapshot_ = cache_ / ("models--org--here/snapshots/" + kCommit);
    cache_.write("models--org--here/refs/main", kCommit + "\n");
    cache_.write("models--org--here/snapshots/" + kCommit + "/config.json", "{}");
    cache_.write("models--org--here/snapshots/" + kCommit + "/model.safetensors", "x");
    hub_.answer_json(StandInHub::models(StandInHub::model(fetched_.path())));
  }
  ResolvedModels resolve(const std::vector<std::string>& given,
                         HubPurpose purpose = HubPurpose::predict, bool download = false) {
    return resolve_models(given, {purpose, {hub_.folder(), true, false}, download, "verify"});
  }
  TemporaryFolder cache_, fetched_;
  StandInHub hub_;
  fs::path snapshot_;
  Variable hf_cache_{"HF_HUB_CACHE", cache_.path().string()};
};

TEST_F(ResolveModelsTest, LeavesPathsAsTheyAre) {
  fs::create_symlink("/nowhere", cache_ / "dangling");
  const std::vector<std::string> given{cache_.path().string(),
                                       (cache_ / "dangling").string(),
                                       "/no/such/folder",
                                       "x/model.safetensors",
                                       "gpt2",
                                       ""};
  const ResolvedModels found = resolve(given);
  for (std::size_t i = 0; i < given.size(); ++i) {
    EXPECT_EQ(found.models[i].path, given[i]);
    EXPECT_FALSE(found.models[i].named);
  }
  EXPECT_FALSE(found.traffic);
  EXPECT_EQ(hub_.asked(), "");
}

TEST_F(ResolveModelsTest, FindsTheCacheFirst) {
  for (const HubPurpose purpose : {HubPurpose::predict, HubPurpose::weights}) {
    const ResolvedModels found = resolve({"org/here", "org/here@" + kCommit}, purpose);
    EXPECT_EQ(found.paths(), (std::vector<fs::path>{snapshot_, snapshot_}));
    EXPECT_EQ(found.models[0].named->revision, "main");
    EXPECT_EQ(found.models[1].named->revision, kCommit);
  }
  EXPECT_EQ(hub_.asked(), "");
}

TEST_F(ResolveModelsTest, FetchesWhatTheCacheLacks) {
  const ResolvedModels found = resolve({"org/here", "org/name"});
  EXPECT_EQ(hub_.asked(), "fetch --quiet --for predict org/name\n");
  EXPECT_EQ(found.models[0].path, snapshot_);
  EXPECT_EQ(found.models[1].path, fetched_.path());
  EXPECT_EQ(found.traffic->bytes, 1234u);
}

TEST_F(ResolveModelsTest, FetchesWhatTheCacheHoldsInPart) {
  fs::remove(snapshot_ / "model.safetensors");
  EXPECT_EQ(resolve({"org/here"}, HubPurpose::census).models[0].path, fetched_.path());
  EXPECT_EQ(hub_.asked(), "fetch --quiet --for census org/here\n");
}

TEST_F(ResolveModelsTest, TellsHowToDownloadWhereAllIsWanted) {
  const std::string message =
      message_of(ExitCode::network, [&] { resolve({"org/name@v1"}, HubPurpose::weights); });
  EXPECT_TRUE(contains(message, "org/name@v1: not in " + cache_.path().string()));
  EXPECT_TRUE(contains(message,
                       "`deadray verify org/name@v1 --download` or "
                       "`hf download org/name --revision v1` downloads it"));
  EXPECT_TRUE(
      contains(message_of(ExitCode::network,
                          [&] { resolve({"https://u:p@h/m.gguf?t=1"}, HubPurpose::weights); }),
               "https://h/m.gguf: verify reads the whole file"));
  EXPECT_EQ(hub_.asked(), "");
}

TEST_F(ResolveModelsTest, DownloadsWhereAsked) {
  const ResolvedModels found = resolve({"org/name", "org/here"}, HubPurpose::weights, true);
  EXPECT_EQ(found.models[0].path, fetched_.path());
  EXPECT_EQ(found.models[1].path, snapshot_);
  EXPECT_EQ(hub_.asked(), "download --quiet org/name\n");
}

TEST_F(ResolveModelsTest, SaysWhatIsMissingWithoutTheProgram) {
  const std::string path = std::getenv("PATH");
  setenv("PATH", "/nowhere", 1);
  const std::string message = message_of(ExitCode::resources, [&] {
    resolve_models({"org/name"},
                   {HubPurpose::predict, {"/nowhere", true, false}, false, "predict"});
  });
  setenv("PATH", path.c_str(), 1);
  EXPECT_TRUE(
      contains(message, "org/name: no such file or folder, and not in " + cache_.path().string()));
  EXPECT_TRUE(contains(message, "needs deadray-hub: no deadray-hub beside this program"));
  EXPECT_TRUE(contains(message, "hf download org/name"));
}

TEST_F(ResolveModelsTest, RefusesUrlsOfPages) {
  EXPECT_TRUE(
      contains(message_of(ExitCode::usage, [&] { resolve({"https://hub.example/org/name?x"}); }),
               "https://hub.example/org/name: is the URL of no file of weights"));
}

TEST_F(ResolveModelsTest, AddsTheOriginToRecords) {
  const ResolvedModels found = resolve({"org/name@v1"});
  std::optional<HubSnapshot> hub;
  add_origin(hub, found, 0);
  ASSERT_TRUE(hub);
  EXPECT_EQ(hub->repository, "org/name");
  EXPECT_EQ(hub->commit, std::string(40, 'c'));
  EXPECT_EQ(hub->revision, "v1");
  EXPECT_EQ(hub->endpoint, "https://hub.example");
  EXPECT_EQ(hub->traffic->requests, 5u);
  std::optional<HubSnapshot> other;
  add_origin(other, resolve({cache_.path()}), 0);
  EXPECT_FALSE(other);
  add_origin(other, resolve({"org/here"}), 0);
  EXPECT_EQ(other->revision, "main");
  EXPECT_FALSE(other->traffic);
  add_origin(other, resolve({"org/here", "org/here@" + kCommit}), 1);
  EXPECT_EQ(other->revision, kCommit) << "the second name of one snapshot";
}

}  // namespace
}  // namespace deadray::test
