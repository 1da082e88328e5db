#include "kernels/arithmetic/normal_arithmetic.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace deadray::kernels {
namespace {

constexpr double kUlp = 0x1p-23;  // of FP32, relative

// 2 units in the last place: the roundings of the last sums, of which cancellation, for x in
// [sqrt(1/2), 1), at most doubles one.
TEST(NormalArithmeticTest, LogarithmIsWithinTwoUlpOfLibm) {
  double worst = 0.0;
  // Every 61st FP32 number of [2^-32, 2): all binades, mantissas of every residue.
  for (auto bits = bits_as<std::uint32_t>(0x1p-32f); bits < bits_as<std::uint32_t>(2.0f);
       bits += 61) {
    const auto x = bits_as<float>(bits);
    const double want = std::log(static_cast<double>(x));
    if (want != 0.0) worst = std::max(worst, std::abs(log_polynomial(x) - want) / std::abs(want));
  }
  EXPECT_LE(worst, 2 * kUlp);
  RecordProperty("worst_relative_error", std::to_string(worst));
}

TEST(NormalArithmeticTest, LogarithmOfOneIsZero) { EXPECT_EQ(log_polynomial(1.0f), 0.0f); }

// An angle is exact to 24 bits of at most 1/8 turn (2^-27 turns, 5e-8 rad); three roundings of
// values below 1 add 3 * 2^-25.
TEST(NormalArithmeticTest, SineAndCosineAreWithinOneUlpOfOne) {
  double worst = 0.0, off_circle = 0.0;
  for (std::uint64_t word = 0; word < 0x100000000u; word += 977) {
    const SinCos got = sincos_turn(static_cast<std::uint32_t>(word));
    const double angle = 2.0 * M_PI * static_cast<double>(word) * 0x1p-32;
    worst =
        std::max({worst, std::abs(got.sin - std::sin(angle)), std::abs(got.cos - std::cos(angle))});
    off_circle =
        std::max(off_circle, std::abs(double{got.sin} * got.sin + double{got.cos} * got.cos - 1.0));
  }
  EXPECT_LE(worst, kUlp);
  // Both are off by `worst` at most: 2 (|sin| + |cos|) of it, at most 2 sqrt(2).
  EXPECT_LE(off_circle, 2 * std::sqrt(2.0) * kUlp);
}

TEST(NormalArithmeticTest, QuarterTurnsAreExact) {
  const float want[4][2] = {{0, 1}, {1, 0}, {0, -1}, {-1, 0}};
  for (std::uint32_t quarter = 0; quarter < 4; ++quarter) {
    const SinCos got = sincos_turn(quarter << 30);
    EXPECT_EQ(got.sin, want[quarter][0]) << quarter;
    EXPECT_EQ(got.cos, want[quarter][1]) << quarter;
  }
}

TEST(NormalArithmeticTest, UniformsStayInTheirInterval) {
  EXPECT_EQ(unit_uniform(0), 0x1p-32f);
  EXPECT_EQ(unit_uniform(0xffffffffu), 1.0f);
  for (const std::uint32_t word : {0u, 0xffffffffu}) {
    const NormalPair pair = box_muller(word, 0x12345678u, 1.0f);
    EXPECT_LT(std::hypot(pair.first, pair.second), 6.7f);  // sqrt(64 ln 2) = 6.66
  }
}

}  // namespace
}  // namespace deadray::kernels
