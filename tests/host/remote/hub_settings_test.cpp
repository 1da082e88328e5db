#include "host/remote/hub_settings.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/errors.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/variable.h"

namespace deadray {
namespace {

using test::contains;
using test::message_of;
using test::Variable;

class HubSettingsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name :
         {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_ENDPOINT", "HF_HUB_OFFLINE",
          "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_IMPLICIT_TOKEN", "REQUESTS_CA_BUNDLE",
          "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR", "HF_HUB_ETAG_TIMEOUT"})
      unsetenv(name);
  }
  test::TemporaryFolder folder_;
  Variable home_{"HF_HOME", folder_.path().string()};
};

TEST_F(HubSettingsTest, TakeTheTokenOfVariablesBeforeThatOfTheFile) {
  EXPECT_EQ(read_hub_settings().token, "");
  std::ofstream(folder_.path() / "token") << "of-the-file\n";
  EXPECT_EQ(read_hub_settings().token, "of-the-file");
  const Variable old("HUGGING_FACE_HUB_TOKEN", "old-name");
  EXPECT_EQ(read_hub_settings().token, "old-name");
  const Variable token("HF_TOKEN", "of-the-variable");
  EXPECT_EQ(read_hub_settings().token, "of-the-variable");
  const Variable none("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1");
  EXPECT_EQ(read_hub_settings().token, "");
}

TEST_F(HubSettingsTest, RefuseATokenThatWouldEndAHeader) {
  const Variable token("HF_TOKEN", "hf_secret\r\nX-Other: 1");
  const std::string message = message_of(ExitCode::usage, [] { read_hub_settings(); });
  EXPECT_TRUE(contains(message, "HF_TOKEN: byte 9"));
  EXPECT_FALSE(contains(message, "secret"));
}

TEST_F(HubSettingsTest, HaveAnEndpointWithoutASlashAtItsEnd) {
  EXPECT_EQ(read_hub_settings().endpoint, "https://huggingface.co");
  const Variable endpoint("HF_ENDPOINT", "http://127.0.0.1:1/hub/");
  EXPECT_EQ(read_hub_settings().endpoint, "http://127.0.0.1:1/hub");
  const Variable odd("HF_ENDPOINT", "file:///etc");
  EXPECT_TRUE(contains(message_of(ExitCode::usage, [] { read_hub_settings(); }), "HF_ENDPOINT"));
}

TEST_F(HubSettingsTest, TakeTimeoutsInSeconds) {
  const Variable timeout("HF_HUB_ETAG_TIMEOUT", "0.5");
  EXPECT_EQ(read_hub_settings().metadata_timeout, std::chrono::milliseconds(500));
  const Variable odd("HF_HUB_ETAG_TIMEOUT", "never");
  EXPECT_TRUE(contains(message_of(ExitCode::usage, [] { read_hub_settings(); }), "'never'"));
}

TEST_F(HubSettingsTest, AreOfflineWhereTheVariableSaysSo) {
  const Variable off("HF_HUB_OFFLINE", "0");
  EXPECT_FALSE(read_hub_settings().offline);
  const Variable on("HF_HUB_OFFLINE", "yes");
  EXPECT_TRUE(read_hub_settings().offline);
}

}  // namespace
}  // namespace deadray
