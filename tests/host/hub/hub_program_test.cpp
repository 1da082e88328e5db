#include "host/hub/hub_program.h"

#include "tests/support/errors.h"
#include "tests/support/stand_in_hub.h"
#include "tests/support/variable.h"

namespace deadray::test {
namespace {

class HubProgramTest : public testing::Test {
 protected:
  HubProgram program(bool keep_messages = false) const {
    return {hub_.folder(), /*quiet=*/true, keep_messages};
  }
  std::string refused() {
    return message_of(ExitCode::internal, [&] { fetch_from_hub(program(), "predict", {"a/b"}); });
  }
  StandInHub hub_;
  TemporaryFolder model_;
};

TEST_F(HubProgramTest, AsksForAllNamesAtOnceAndReadsTheAnswer) {
  model_.write("m.gguf", "");
  hub_.answer_json(StandInHub::models(
      StandInHub::model(model_.path()) + ", " +
      R"({"name": "u", "revision": null, "commit": null, "folder": ")" + model_.path().string() +
      R"(", "endpoint": "https://h", "source": "cache", "file": "m.gguf"})"));
  const HubAnswer answer = fetch_from_hub(program(), "census", {"org/name", "https://h/m.gguf"});
  EXPECT_EQ(hub_.asked(), "fetch --quiet --for census org/name https://h/m.gguf\n");
  ASSERT_EQ(answer.models.size(), 2u);
  EXPECT_EQ(answer.models[0].path, model_.path());
  EXPECT_EQ(answer.models[0].commit, std::string(40, 'c'));
  EXPECT_EQ(answer.models[0].endpoint, "https://hub.example");
  EXPECT_EQ(answer.models[1].path, model_ / "m.gguf");
  EXPECT_EQ(answer.models[1].endpoint, "") << "nothing was fetched";
  EXPECT_EQ(answer.traffic.bytes, 1234u);
  EXPECT_EQ(answer.traffic.requests, 5u);
  EXPECT_EQ(answer.traffic.round_trips, 3u);
}

TEST_F(HubProgramTest, ListsRevisionsAndDownloads) {
  hub_.answer_json(R"({"revisions": [{"name": "main", "commit": "a"}, {"name": "v1"}]})");
  EXPECT_EQ(hub_revisions(program(), "org/name"), (std::vector<std::string>{"main", "v1"}));
  hub_.answer_json(StandInHub::models(StandInHub::model(model_.path())));
  EXPECT_EQ(download_from_hub(program(), "org/name@v1").models.front().path, model_.path());
  EXPECT_EQ(hub_.asked(), "revisions --quiet org/name\ndownload --quiet org/name@v1\n");
}

TEST_F(HubProgramTest, EndsAsItEnds) {
  for (const int code : {2, 3, 5, 6, 130}) {
    hub_.answer(fmt::format("echo 'deadray: why' >&2; exit {}\n", code));
    testing::internal::CaptureStderr();
    try {
      fetch_from_hub(program(), "predict", {"org/name"});
      ADD_FAILURE();
    } catch (const HubFailed& failed) {
      EXPECT_EQ(failed.exit_code, code);
    }
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "deadray: why\n");
  }
  hub_.answer("kill -9 $$\n");  // it could not say why
  EXPECT_EQ(
      message_of(ExitCode::resources, [&] { fetch_from_hub(program(), "predict", {"org/name"}); })
          .substr(0, 33),
      "deadray-hub was ended by signal 9");
}

TEST_F(HubProgramTest, GivesALibraryTheMessage) {
  hub_.answer("echo 'note: x' >&2; echo 'deadray: org/name: is gated' >&2; exit 5\n");
  EXPECT_EQ(message_of(ExitCode::network,
                       [&] { fetch_from_hub(program(true), "predict", {"org/name"}); }),
            "org/name: is gated");
  hub_.answer("exit 77\n");
  EXPECT_EQ(message_of(ExitCode::internal,
                       [&] { fetch_from_hub(program(true), "predict", {"org/name"}); }),
            "deadray-hub ended with 77");
}

TEST_F(HubProgramTest, RefusesAnotherAnswerThanAgreed) {
  hub_.answer("echo hello\n");
  EXPECT_TRUE(contains(refused(), "no JSON: is it of the same version?"));
  hub_.answer_json("{}");
  EXPECT_TRUE(contains(refused(), "in another schema"));
  hub_.answer_json(StandInHub::models(""));
  EXPECT_TRUE(contains(refused(), "for 0 models, not 1"));
  hub_.answer_json(R"({"schema": "deadray/hub/1"})");
  EXPECT_TRUE(contains(refused(), "otherwise than agreed"));
  hub_.answer_json(StandInHub::models(StandInHub::model(model_ / "gone")));
  EXPECT_TRUE(contains(refused(), "a folder that is not there"));
}

TEST_F(HubProgramTest, IsLookedForOnThePathToo) {
  hub_.answer_json(StandInHub::models(StandInHub::model(model_.path())));
  const std::string path = std::getenv("PATH");
  setenv("PATH", ("/nowhere:" + hub_.folder().string() + ":" + path).c_str(), 1);
  EXPECT_NO_THROW(fetch_from_hub({model_.path(), true, false}, "predict", {"org/name"}));
  setenv("PATH", "/nowhere", 1);
  EXPECT_TRUE(
      contains(message_of(ExitCode::resources,
                          [&] { fetch_from_hub({model_.path(), true, false}, "predict", {"a"}); }),
               "no deadray-hub beside this program or on the PATH: install libcurl"));
  setenv("PATH", path.c_str(), 1);
}

}  // namespace
}  // namespace deadray::test
