#include "verify/probe/input_moments.h"

#include <gtest/gtest.h>

#include "tests/verify/probe/norm_rows.h"

namespace deadray {
namespace {

using namespace testing;

TEST(InputMomentsTest, AreTheSameWhetherRowsAreKeptOrNot) {
  // 16 dimensions: rows are given up beyond 2 matrices, 128 rows in FP32.
  for (const std::int64_t n : {40, 300}) {
    const at::Tensor rows = gaussian(n, 16, 7).to(at::kFloat);
    InputMoments often(16, /*rarely=*/false, cpu_backend()), rarely(16, true, cpu_backend());
    for (InputMoments* moments : {&often, &rarely}) {
      const at::Tensor stream = rows.clone();
      for (std::int64_t first = 0; first < n; first += 20) {
        const at::Tensor tile = stream.narrow(0, first, 20);
        moments->reserve(tile);
        moments->add(tile);
        tile.zero_();  // as the next block overwrites the stream
      }
      EXPECT_EQ(moments->count(), n);
      EXPECT_EQ(moments->dtype(), DType::f32);
    }
    EXPECT_TRUE(often.forms_products());
    EXPECT_EQ(rarely.forms_products(), n == 300);
    const RowMoments &a = often.moments(), &b = rarely.moments();
    EXPECT_EQ(a.count, n);
    EXPECT_EQ(b.count, n);
    EXPECT_TRUE(at::equal(a.covariance, b.covariance)) << "the same tiles in the same order";
    EXPECT_TRUE(at::equal(a.mean, b.mean));
  }
}

}  // namespace
}  // namespace deadray
