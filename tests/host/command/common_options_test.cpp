#include "host/command/common_options.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

namespace deadray {
namespace {

/// What the check complains of; "" when the text is taken.
std::string complaint(const CLI::Validator& check, std::string text) { return check(text); }

TEST(NumberBelowTest, TakesNumbersFromZeroToBelowTheLimit) {
  for (const char* text : {"0", "0.5", "+1e-9", "9.99e-1"})
    EXPECT_EQ(complaint(number_below(1), text), "") << text;
  for (const char* text : {"1", "-1e-300", "nan", "inf", "", "much", "0.5x", " 0.5", "++0.5"})
    EXPECT_EQ(complaint(number_below(1), text),
              std::string(text) + " is not a number with 0 <= x < 1");
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(complaint(number_below(infinity), "1e300"), "");
  EXPECT_EQ(complaint(number_below(infinity), "-1"), "-1 is not a number with 0 <= x");
}

TEST(PositiveIntegerTest, TakesWhatFitsIntoSixtyThreeBits) {
  for (const char* text : {"1", "+7", "9223372036854775807"})
    EXPECT_EQ(complaint(positive_integer(), text), "") << text;
  for (const char* text : {"0", "-1", "9223372036854775808", "1.5", "1e3", "", "one"})
    EXPECT_EQ(complaint(positive_integer(), text),
              std::string(text) + " is not an integer from 1 to 9223372036854775807");
}

}  // namespace
}  // namespace deadray
