// `deadray` beside a stand-in for deadray-hub.
#include <nlohmann/json.hpp>

#include "tests/support/errors.h"
#include "tests/support/small_model.h"
#include "tests/support/spawned.h"
#include "tests/support/stand_in_hub.h"
#include "tests/support/variable.h"

namespace deadray::test {
namespace {

class NamedModelsTest : public testing::Test {
 protected:
  void SetUp() override {
    fs::copy_file(DEADRAY_BIN "/deadray", program());
    write_small_gpt2(model_.path());
  }
  fs::path program() const { return hub_.folder() / "deadray"; }
  Spawned run(std::vector<std::string> arguments) {
    return Spawned(std::move(arguments), -1, program());
  }
  TemporaryFolder cache_, model_;
  StandInHub hub_;
  Variable hf_cache_{"HF_HUB_CACHE", cache_.path().string()};
};

TEST_F(NamedModelsTest, PredictsAndCountsWhatWasFetched) {
  hub_.answer_json(StandInHub::models(StandInHub::model(model_.path())));
  for (const std::string command : {"predict", "census"}) {
    Spawned far = run({command, "org/name@v1", "--json", "-"});
    ASSERT_EQ(far.wait(), 0) << far.errors();
    EXPECT_NE(far.errors().find("hub: 1234 bytes in 5 requests, 3 round trips, 0.50 s\n"),
              std::string::npos)
        << far.errors();
    Spawned near = run({command, model_.path().string(), "--json", "-"});
    auto of_far = nlohmann::json::parse(far.output()),
         of_near = nlohmann::json::parse(near.output());
    const nlohmann::json hub{{"repository", "org/name"},
                             {"commit", std::string(40, 'c')},
                             {"revision", "v1"},
                             {"endpoint", "https://hub.example"},
                             {"bytes", 1234},
                             {"requests", 5},
                             {"round_trips", 3}};
    EXPECT_EQ(of_far["model"]["hub"], hub);
    EXPECT_TRUE(of_near["model"]["hub"].is_null());
    for (auto* record : {&of_far, &of_near}) {
      (*record)["model"].erase("hub");
      record->erase("seconds");
    }
    EXPECT_EQ(of_far, of_near);
  }
  EXPECT_EQ(hub_.asked(), "fetch --for predict org/name@v1\nfetch --for census org/name@v1\n");
}

TEST_F(NamedModelsTest, EndsWithTheCodeOfTheChildAndItsLineAlone) {
  hub_.answer("echo 'deadray: org/name: is gated' >&2; exit 5\n");
  Spawned failed = run({"predict", "org/name"});
  EXPECT_EQ(failed.wait(), 5);
  EXPECT_EQ(failed.errors(), "deadray: org/name: is gated\n");
  EXPECT_EQ(failed.output(), "");
}

TEST_F(NamedModelsTest, ComparesRevisionsByTheirNames) {
  hub_.answer(fmt::format(R"(case $1 in
revisions) echo '{{"revisions": [{{"name": "step10"}}, {{"name": "main"}}, {{"name": "step2"}}]}}';;
*) echo '{}';;
esac
)",
                          StandInHub::models(StandInHub::model(model_.path()) + ", " +
                                             StandInHub::model(model_.path()))));
  // sh's echo may take escapes, and there are none; line ends are white space to JSON.
  Spawned several = run({"predict", "org/name", "--revisions", "step*", "--json", "-", "--quiet"});
  ASSERT_EQ(several.wait(), 0) << several.errors();
  const auto record = nlohmann::json::parse(several.output());
  EXPECT_EQ(record["labels"], (std::vector<std::string>{"step2", "step10"}));
  EXPECT_EQ(record["steps"], (std::vector<int>{2, 10}));
  EXPECT_EQ(record["hub"]["bytes"], 1234);
  EXPECT_EQ(hub_.asked(),
            "revisions --quiet org/name\n"
            "fetch --quiet --for predict org/name@step10 org/name@step2\n");
}

TEST_F(NamedModelsTest, RevisionsNeedAName) {
  for (const std::string& model : {model_.path().string(), std::string("org/name@v1"),
                                   std::string("https://h.example/m.gguf")}) {
    Spawned wrong = run({"predict", model, "--revisions", "a,b"});
    EXPECT_EQ(wrong.wait(), 2);
    EXPECT_TRUE(contains(wrong.errors(), "--revisions: takes a model of the hub"));
  }
}

TEST_F(NamedModelsTest, ConvertsWhatItDownloaded) {
  Spawned refused = run({"convert", "org/name", (cache_ / "out").string()});
  EXPECT_EQ(refused.wait(), 5);
  EXPECT_TRUE(contains(refused.errors(), "`deadray convert org/name --download`"));
  hub_.answer_json(StandInHub::models(StandInHub::model(model_.path())));
  Spawned done = run({"convert", "org/name", "--download", (cache_ / "out").string()});
  EXPECT_EQ(done.wait(), 0) << done.errors();
  EXPECT_TRUE(fs::exists(cache_ / "out" / "model.safetensors"));
}

TEST_F(NamedModelsTest, HintsAtWholeNames) {
  Spawned unknown = run({"predict", "gpt2"});
  EXPECT_EQ(unknown.wait(), 2);
  EXPECT_TRUE(contains(unknown.errors(),
                       "gpt2: no such file or folder; if it is a model of the "
                       "hub: give its whole name, org/name"));
  EXPECT_EQ(hub_.asked(), "");
}

}  // namespace
}  // namespace deadray::test
