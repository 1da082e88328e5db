#include <gtest/gtest.h>

#include "host/remote/repository_cache.h"
#include "host/remote/repository_fetch.h"
#include "host/remote/repository_refs.h"
#include "tests/support/errors.h"

namespace deadray {
namespace {

using test::contains;
using test::message_of;

TEST(RepositoryDescriptionTest, HasCommitAndFiles) {
  const RepositoryDescription description = parse_description(
      "org/name", R"({"sha": "0123456789", "siblings": [{"rfilename": "config.json"}], "x": 1})");
  EXPECT_EQ(description.commit, "0123456789");
  EXPECT_EQ(description.files, std::set<std::string>{"config.json"});
}

TEST(RepositoryDescriptionTest, RefusesNonsense) {
  for (const char* text : {"<html>", "{}", R"({"sha": "../../x", "siblings": []})",
                           R"({"sha": "0123456"})", R"({"sha": "0123456", "siblings": [1]})"})
    message_of(ExitCode::malformed, [&] { parse_description("org/name", text); });
}

TEST(RepositoryDescriptionTest, LeavesOutFilesThatLeaveTheirFolder) {
  const std::string text =
      R"({"sha": "0123456", "siblings": [{"rfilename": "../../etc/passwd"}, {"rfilename": "a"}]})";
  EXPECT_EQ(parse_description("org/name", text).files, std::set<std::string>{"a"});
}

TEST(RevisionsTest, AreBranchesThenTags) {
  const Revisions revisions = parse_revisions(
      "org/name", R"({"tags": [{"name": "v1", "ref": "refs/tags/v1", "targetCommit": "abcdef1"}],
                      "branches": [{"name": "main", "targetCommit": "abcdef2"}]})");
  EXPECT_EQ(revisions, (Revisions{{"main", "abcdef2"}, {"v1", "abcdef1"}}));
  message_of(ExitCode::malformed, [] { parse_revisions("org/name", R"({"branches": []})"); });
}

TEST(BlobNameTest, IsTheEtagOnlyWhereThatIsOfTheContent) {
  const std::string hash(64, 'a');
  EXPECT_EQ(blob_name({"\"" + hash + "\"", true}, "c1", "a"), hash);
  EXPECT_NE(blob_name({"\"5f-20\"", false}, "c1", "a"), blob_name({"\"5f-20\"", false}, "c1", "b"));
  EXPECT_NE(blob_name({"\"5f-20\"", false}, "c1", "a"), blob_name({"\"5f-20\"", false}, "c2", "a"));
  EXPECT_EQ(blob_name({"\"../../x\"", true}, "c1", "a").find('/'), std::string::npos);
}

TEST(FileTagTest, IsThatOfWhatTheHubLinksTo) {
  EXPECT_EQ(file_tag({{"etag", "\"x\""}, {"x-linked-etag", "\"y\""}}).etag, "\"y\"");
  EXPECT_TRUE(file_tag({{"x-linked-etag", "\"y\""}}).is_of_content);
  EXPECT_FALSE(file_tag({{"etag", "\"65a1-1f4\""}}).is_of_content);
  EXPECT_TRUE(file_tag({{"etag", "\"" + std::string(40, '0') + "\""}}).is_of_content);
}

}  // namespace
}  // namespace deadray
