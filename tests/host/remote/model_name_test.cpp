#include "host/remote/model_name.h"

#include <gtest/gtest.h>

#include "tests/support/errors.h"

namespace deadray {
namespace {

using test::contains;
using test::message_of;

TEST(ModelNameTest, HasARevisionBehindAt) {
  EXPECT_EQ(parse_model_name("org/name").repository, "org/name");
  EXPECT_EQ(parse_model_name("org/name").revision, "main");
  EXPECT_EQ(parse_model_name("org/name@step1000").revision, "step1000");
  EXPECT_EQ(parse_model_name("org/name@refs/pr/1").revision, "refs/pr/1");
}

TEST(ModelNameTest, IsAUrlOfWeights) {
  EXPECT_EQ(parse_model_name("https://example.org/a.gguf?x=1").url,
            "https://example.org/a.gguf?x=1");
  EXPECT_TRUE(contains(
      message_of(ExitCode::usage, [] { parse_model_name("https://example.org/a.zip?key=s3"); }),
      "https://example.org/a.zip: expected"));
}

TEST(ModelNameTest, RefusesWhatLeavesTheCache) {
  for (const char* name : {"../x", "a/..", "a/b/c", "a--b/c", "/a/b", "a/b@../../x", "a/b@/x",
                           "a/b@", "", "a/b@x\ny", "-a/b", "ftp://a/b.gguf"})
    message_of(ExitCode::usage, [&] { parse_model_name(name); });
}

TEST(SafePathTest, StaysBelowItsFolder) {
  EXPECT_TRUE(is_safe_path("a/b.safetensors"));
  for (const char* name : {"", "/a", "a/", "../a", "a/../b", "a//b", "./a", "a\\b", "a\nb"})
    EXPECT_FALSE(is_safe_path(name)) << name;
}

}  // namespace
}  // namespace deadray
