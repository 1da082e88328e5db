#include "host/base/time_text.h"

#include <gtest/gtest.h>

#include <regex>

namespace deadray {
namespace {

TEST(TimeTextTest, HasThreeSignificantDigits) {
  EXPECT_EQ(duration(4.12e-7), "412 ns");
  EXPECT_EQ(duration(2.75e-5), "27.5 µs");
  EXPECT_EQ(duration(0.022), "22 ms");
  EXPECT_EQ(duration(1.254), "1.25 s");
  EXPECT_EQ(duration(0.0), "0 ns");
}

// {:.3g} alone would write 1e+03.
TEST(TimeTextTest, NeverNeedsAnExponent) {
  EXPECT_EQ(duration(999.4e-6), "999 µs");
  EXPECT_EQ(duration(999.6e-6), "1 ms");
  EXPECT_EQ(duration(999.6), "1000 s");
  EXPECT_EQ(duration(12345.6), "12346 s");
}

TEST(TimeTextTest, IsUniversalTimeToTheSecond) {
  EXPECT_TRUE(std::regex_match(utc_now(), std::regex(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)")))
      << utc_now();
}

}  // namespace
}  // namespace deadray
