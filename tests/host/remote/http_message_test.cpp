#include "host/remote/http_message.h"

#include <gtest/gtest.h>

#include "host/remote/url.h"

namespace deadray {
namespace {

TEST(ContentRangeTest, ReadsFirstLastAndSize) {
  const auto range = parse_content_range("bytes 10-19/100");
  ASSERT_TRUE(range);
  EXPECT_EQ(range->begin, 10u);
  EXPECT_EQ(range->end, 20u);
  EXPECT_EQ(range->size, 100u);
}

TEST(ContentRangeTest, RefusesWhatIsNoRangeOfTheFile) {
  for (const char* text :
       {"", "bytes */100", "bytes 5-4/10", "bytes 0-10/10", "bytes 0-9/*", "items 0-9/10",
        "bytes -1-9/10", "bytes 0-9/10x", "bytes 0-99999999999999999999/10"})
    EXPECT_FALSE(parse_content_range(text)) << text;
}

TEST(RetryAfterTest, ReadsSecondsAndDates) {
  EXPECT_EQ(parse_retry_after("7", 0), std::chrono::seconds(7));
  EXPECT_EQ(parse_retry_after("Thu, 01 Jan 1970 00:01:40 GMT", 60), std::chrono::seconds(40));
  EXPECT_EQ(parse_retry_after("Thu, 01 Jan 1970 00:01:40 GMT", 200), std::chrono::seconds(0));
  EXPECT_GT(parse_retry_after("99999999999999999999999", 0), std::chrono::seconds(60));
  EXPECT_FALSE(parse_retry_after("soon", 0));
  EXPECT_FALSE(parse_retry_after("", 0));
}

TEST(HeadersTest, AreFoundWhateverTheirCase) {
  HttpHeaders headers;
  add_header_line(headers, "X-Repo-Commit:  abc \r\n");
  add_header_line(headers, "no colon\r\n");
  EXPECT_EQ(header(headers, "x-repo-commit"), "abc");
  EXPECT_EQ(headers.size(), 1u);
}

TEST(EtagTest, LosesQuotesAndTheMarkOfAWeakOne) {
  EXPECT_EQ(plain_etag("\"abc\""), "abc");
  EXPECT_EQ(plain_etag("W/\"abc\""), "abc");
  EXPECT_EQ(plain_etag("abc"), "abc");
}

TEST(UrlTest, ComparesSchemeHostAndPort) {
  EXPECT_TRUE(same_origin("https://Example.org/a", "https://example.org:443/b?c"));
  EXPECT_FALSE(same_origin("https://example.org/", "http://example.org/"));
  EXPECT_FALSE(same_origin("https://example.org/", "https://example.org:8443/"));
  EXPECT_FALSE(same_origin("https://example.org/", "https://example.org.evil.net/"));
  EXPECT_FALSE(same_origin("https://example.org@evil.net/", "https://example.org/"));
  EXPECT_FALSE(same_origin("ftp://a/", "ftp://a/"));
}

TEST(UrlTest, IsShownWithoutSecrets) {
  EXPECT_EQ(shown_url("https://me:secret@example.org/a/b.gguf?sig=secret#x"),
            "https://example.org/a/b.gguf");
  EXPECT_EQ(file_name_of("https://example.org/a/b%20c.gguf?x=/y"), "b c.gguf");
  EXPECT_EQ(beside("https://example.org/a/b.gguf?sig=1", "config.json"),
            "https://example.org/a/config.json");
}

TEST(UrlTest, QuotesWhatAPathCannotHold) {
  EXPECT_EQ(quote_segment("refs/pr/1"), "refs%2Fpr%2F1");
  EXPECT_EQ(quote_path("a b/c#d"), "a%20b/c%23d");
}

}  // namespace
}  // namespace deadray
