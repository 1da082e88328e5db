#include "verify/calibration/counted_rows.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace deadray {
namespace {

/// Two sequences of three tokens.
const at::Tensor kCounted = at::tensor({0, 1, 1, 1, 0, 0}, at::kLong).view({2, 3}).to(at::kBool);

TEST(CountedRowsTest, AreThoseOfTheTokensThatCount) {
  const at::Tensor x = at::arange(12).view({2, 3, 2});
  EXPECT_TRUE(
      counted_rows(kCounted, x).equal(at::tensor({2, 3, 4, 5, 6, 7}, at::kLong).view({3, 2})));
}

TEST(CountedRowsTest, AreThoseOfEveryHead) {
  const at::Tensor x = at::arange(12).view({2, 2, 3, 1});  // [sequences, heads, length, width]
  EXPECT_TRUE(
      counted_rows(kCounted, x).equal(at::tensor({1, 2, 4, 5, 6, 9}, at::kLong).view({6, 1})));
}

TEST(CountedRowsTest, AreAllWhereNothingIsLeftOut) {
  const at::Tensor x = at::arange(12).view({2, 3, 2});
  EXPECT_TRUE(counted_rows({}, x).equal(x.view({6, 2})));
  EXPECT_FALSE(counted_index({}, x).defined());
}

}  // namespace
}  // namespace deadray
