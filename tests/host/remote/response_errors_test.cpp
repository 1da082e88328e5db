#include "host/remote/response_errors.h"

#include <gtest/gtest.h>

#include "tests/support/errors.h"

namespace deadray {
namespace {

using test::contains;
using test::message_of;

HttpResponse response(int status, const std::string& code = {}) {
  HttpResponse answer;
  answer.status = status;
  if (!code.empty()) answer.first_headers["x-error-code"] = code;
  return answer;
}

std::string refused(int status, const std::string& code, bool with_token = false) {
  const AskedFor asked{"https://hub", "org/name", "step1", "config.json", with_token};
  return message_of(ExitCode::network, [&] { refuse(asked, response(status, code)); });
}

TEST(ResponseErrorsTest, TellsGatedFromUnknown) {
  for (const int status : {401, 403})
    EXPECT_TRUE(contains(refused(status, "GatedRepo"),
                         "org/name: is gated: accept its licence at https://hub/org/name"));
  EXPECT_TRUE(contains(refused(401, "RepoNotFound"), "unknown repository, or private"));
  EXPECT_TRUE(contains(refused(401, "", true), "that HF_TOKEN is valid"));
}

TEST(ResponseErrorsTest, TellsRepositoryRevisionAndFileApart) {
  EXPECT_TRUE(contains(refused(404, "RepoNotFound"), "no such repository"));
  EXPECT_TRUE(contains(refused(404, "RevisionNotFound"), "no revision 'step1'"));
  EXPECT_TRUE(contains(refused(404, "EntryNotFound"), "no file 'config.json'"));
}

TEST(ResponseErrorsTest, SaysHowOftenItAsked) {
  HttpResponse answer = response(503);
  answer.tries = 5;
  const std::string message =
      message_of(ExitCode::network, [&] { refuse({"https://hub", "a/b", "", "", false}, answer); });
  EXPECT_TRUE(contains(message, "status 503, 5 tries"));
}

TEST(ResponseErrorsTest, ShowsThePageThatCameInsteadOfJson) {
  const std::string message = message_of(
      ExitCode::malformed, [] { require_json("org/name", "\n<!DOCTYPE html>\n<html>"); });
  EXPECT_TRUE(contains(message, "begins '<!DOCTYPE html>"));
  require_json("org/name", " {}");
}

}  // namespace
}  // namespace deadray
