#include "verify/plan/gemm_rate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace deadray {
namespace {

constexpr std::int64_t kWidth = 8;
constexpr double kFlops = 2.0 * 1024 * kWidth * (4 * kWidth);

/// On a clock by which the products take these seconds, one after the other.
double rate_on_a_clock_of(const std::vector<double>& seconds) {
  double time = 100;
  std::size_t reading = 0;
  const auto now = [&] {
    const std::size_t product = reading / 2;
    if (reading++ % 2 == 1) time += seconds.at(product);
    return time;
  };
  const double rate = measure_gemm_rate(cpu_backend(), at::kFloat, kWidth, now);
  EXPECT_EQ(reading, 2 * seconds.size()) << "readings of the clock";
  return rate;
}

TEST(GemmRateTest, IsTheBestOfThreeProducts) {
  EXPECT_EQ(rate_on_a_clock_of({4, 8, 2, 4}), kFlops / 2);
  EXPECT_EQ(rate_on_a_clock_of({8, 4, 16, 8}), kFlops / 4);
}

TEST(GemmRateTest, DoesNotCountTheFirstProduct) {
  EXPECT_EQ(rate_on_a_clock_of({0.125, 8, 2, 4}), kFlops / 2);
}

// The same product, timed here. The bound tells another unit of time (1e3) or another size (1e3)
// from the right one, and no more: other programs on the machine stretch either time by what they
// like.
TEST(GemmRateTest, IsThatOfAProductTimedDirectly) {
  constexpr double kApart = 100;
  constexpr std::int64_t kWide = 128;
  const double rate = measure_gemm_rate(cpu_backend(), at::kFloat, kWide);
  const at::Tensor x = at::full({1024, kWide}, 0.5F), w = at::full({kWide, 4 * kWide}, 0.5F);
  double least = 1e300;
  for (int repetition = 0; repetition < 5; ++repetition) {
    const double start = steady_seconds();
    at::mm(x, w);
    least = std::min(least, steady_seconds() - start);
  }
  const double direct = 2.0 * 1024 * kWide * (4 * kWide) / least;
  EXPECT_GT(rate, direct / kApart);
  EXPECT_LT(rate, direct * kApart);
}

}  // namespace
}  // namespace deadray
