#include "kernels/operations/norm_recompute.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/kernels/operations/norm_reference.h"

namespace deadray::kernels {
namespace {

constexpr double kUnit = 0x1p-53;  // unit roundoff of FP64

/// hidden sizes below, at and off the widths of registers, and those of models
constexpr std::int64_t kHiddenSizes[] = {1, 2, 7, 8, 15, 16, 17, 64, 257, 768, 4096};

/// Worst |got - want| in units of u (|gamma z| (n/4 + 8) + |gamma| (spread of the row) / deviation
/// + |beta - shift|). Summing n terms in 16 lanes errs by at most (n/16 + 6) u relatively; the
/// squared deviations under the root by twice that, halved by the root; the centred differences by
/// u each. n/4 + 8 covers them for every n.
double worst_error(const TestRows& x, const TestNorm& norm) {
  const std::vector<double> got = recompute(x, norm);
  double worst = 0.0;
  for (std::int64_t t = 0; t < x.n_tokens; ++t) {
    const std::vector<long double> want = reference_norm(x, norm, t),
                                   plain = reference_norm(x, norm.without_offset(), t);
    for (std::int64_t i = 0; i < x.hidden_size; ++i) {
      const double n = static_cast<double>(x.hidden_size), offset = std::abs(norm.offset(i)),
                   gamma = std::abs(norm.gamma[i]);
      const double bound =
          kUnit * ((n / 4 + 8) * static_cast<double>(std::abs(plain[i])) + 4 * gamma + 2 * offset);
      worst = std::max(worst,
                       static_cast<double>(std::abs(got[t * x.hidden_size + i] - want[i])) / bound);
    }
  }
  return worst;
}

class NormRecomputeTest : public ::testing::TestWithParam<std::tuple<NormType, ElementType>> {
 protected:
  NormType norm_type() const { return std::get<0>(GetParam()); }
  ElementType element_type() const { return std::get<1>(GetParam()); }
};

TEST_P(NormRecomputeTest, AgreesWithLongDoubleForEveryHiddenSize) {
  for (const std::int64_t hidden_size : kHiddenSizes) {
    const TestRows x = gaussian_rows(5, hidden_size, element_type(), 1.0, 0.3);
    EXPECT_LE(worst_error(x, random_norm(norm_type(), hidden_size, 1e-5)), 1.0)
        << "hidden_size " << hidden_size;
  }
}

TEST_P(NormRecomputeTest, StridedRowsGiveWhatContiguousOnesGive) {
  const TestRows x = gaussian_rows(5, 33, element_type(), 1.0, 0.0), padded = x.with_stride(47);
  const TestNorm norm = random_norm(norm_type(), 33, 1e-5);
  EXPECT_EQ(recompute(x, norm), recompute(padded, norm));
}

TEST_P(NormRecomputeTest, Float32IsTheFloat64OutputRoundedOnce) {
  const TestRows x = gaussian_rows(37, 33, element_type(), 1.0, 0.0);
  const TestNorm norm = random_norm(norm_type(), 33, 1e-5);
  const std::vector<double> want = recompute(x, norm);
  std::vector<float> got(want.size());
  norm_recompute(x.view(), norm.arguments(), got.data());
  EXPECT_EQ(got, std::vector<float>(want.begin(), want.end()));
}

TEST_P(NormRecomputeTest, SplittingTheRowsChangesNoBit) {
  const TestRows x = gaussian_rows(9, 257, element_type(), 1.0, 0.0);
  const TestNorm norm = random_norm(norm_type(), 257, 1e-5);
  const std::vector<double> whole = recompute(x, norm);
  std::vector<double> pieces(whole.size());
  for (const auto& [first, count] :
       {std::pair<std::int64_t, std::int64_t>{0, 2}, {2, 1}, {3, 6}, {9, 0}}) {
    norm_recompute(x.view().slice(first, count), norm.arguments(), pieces.data() + first * 257);
  }
  EXPECT_EQ(whole, pieces);
}

TEST_P(NormRecomputeTest, NullParametersAreOnesAndZeros) {
  const TestRows x = gaussian_rows(3, 65, element_type(), 2.0, 1.0);
  TestNorm plain;
  plain.type = norm_type(), plain.eps = 1e-5, plain.gamma.assign(65, 1.0),
  plain.beta.assign(65, 0.0), plain.shift.assign(65, 0.0);
  NormArguments none;
  none.type = norm_type(), none.eps = 1e-5;
  std::vector<double> got(3 * 65);
  norm_recompute(x.view(), none, got.data());
  EXPECT_EQ(got, recompute(x, plain));
}

TEST_P(NormRecomputeTest, ShiftEqualToBetaLeavesGammaTimesZ) {
  const TestRows x = gaussian_rows(3, 65, element_type(), 2.0, 1.0);
  TestNorm norm = random_norm(norm_type(), 65, 1e-5);
  norm.shift = norm.beta;
  EXPECT_EQ(recompute(x, norm), recompute(x, norm.without_offset()));
}

// Scales of 1e±30 in FP32 and bfloat16 (1e±140 in FP64) with eps = 0: the output does not depend on
// the scale, so the same bound holds.
TEST_P(NormRecomputeTest, ExtremeScalesKeepTheBound) {
  const bool wide = element_type() == ElementType::float64;
  for (const double scale : {wide ? 1e140 : 1e30, wide ? 1e-140 : 1e-30}) {
    EXPECT_LE(worst_error(gaussian_rows(4, 257, element_type(), scale, 0.0),
                          random_norm(norm_type(), 257, 0.0)),
              1.0)
        << scale;
  }
}

TEST_P(NormRecomputeTest, DenormalInputsAreNotFlushed) {
  const double scale =
      element_type() == ElementType::float64
          ? 1e-150
          : 0x1p-140;  // FP32 and bfloat16 denormals; the square of an FP64 denormal is 0
  const TestRows x = gaussian_rows(4, 257, element_type(), scale, 0.0);
  const TestNorm norm = random_norm(norm_type(), 257, 0.0);
  EXPECT_LE(worst_error(x, norm), 1.0);
  const std::vector<double> got = recompute(x, norm);
  EXPECT_TRUE(std::any_of(got.begin(), got.end(), [](double y) { return std::abs(y) > 0.5; }));
}

// Trained models have single channels a thousand times the rest.
TEST_P(NormRecomputeTest, OneHugeChannelKeepsTheBound) {
  TestRows x = gaussian_rows(4, 768, element_type(), 1.0, 0.0);
  for (std::int64_t t = 0; t < 4; ++t) x.set(t, 138, 3000.0 + static_cast<double>(t));
  EXPECT_LE(worst_error(x, random_norm(norm_type(), 768, 1e-5)), 1.0);
}

TEST_P(NormRecomputeTest, RowsOfZerosGiveBetaMinusShiftEvenWithoutEps) {
  const TestRows x = gaussian_rows(2, 100, element_type(), 0.0, 0.0);
  const TestNorm norm = random_norm(norm_type(), 100, 0.0);
  const std::vector<double> got = recompute(x, norm);
  for (std::size_t i = 0; i < 100; ++i) EXPECT_EQ(got[i], norm.beta[i] - norm.shift[i]);
}

TEST_P(NormRecomputeTest, NotANumberStaysInItsRow) {
  for (const double bad :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    TestRows x = gaussian_rows(3, 50, element_type(), 1.0, 0.0);
    x.set(1, 49, bad);
    const std::vector<double> got = recompute(x, random_norm(norm_type(), 50, 1e-5));
    for (std::size_t i = 0; i < 150; ++i) {
      EXPECT_TRUE(i / 50 == 1 || std::isfinite(got[i])) << i;
    }
    EXPECT_TRUE(std::isnan(got[99]));
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, NormRecomputeTest,
    ::testing::Combine(::testing::Values(NormType::layernorm, NormType::rmsnorm),
                       ::testing::Values(ElementType::float32, ElementType::float64,
                                         ElementType::bfloat16)));

// Equal rows have variance 0 whatever their mean rounds to: only eps is left, and z is 0 to
// rounding.
TEST(LayerNormRecomputeTest, EqualRowsGiveBetaMinusShift) {
  for (const double value : {0.1, 1e30, -7e-12}) {
    TestRows x = gaussian_rows(1, 777, ElementType::float32, 0.0, 0.0);
    for (std::int64_t i = 0; i < 777; ++i) x.set(0, i, value);
    TestNorm norm = random_norm(NormType::layernorm, 777, 1e-5);
    const std::vector<double> got = recompute(x, norm);
    // x - mean is u |x| at most and the correction takes that away but for u of it: u^2 |x| /
    // sqrt(eps)
    for (std::size_t i = 0; i < 777; ++i) {
      EXPECT_NEAR(
          got[i], norm.beta[i] - norm.shift[i],
          4 * kUnit * kUnit * std::abs(value) * std::abs(norm.gamma[i]) / std::sqrt(norm.eps))
          << value;
    }
  }
}

/// Worst |<1/gamma, out + shift - beta>| over the rows, in units of u * sum |z_i| * n / 16: the
/// bound of the two sums' rounding.
double worst_constant(const TestRows& x, const TestNorm& norm) {
  const std::vector<double> got = recompute(x, norm);
  double worst = 0.0;
  for (std::int64_t t = 0; t < x.n_tokens; ++t) {
    long double sum = 0.0L;
    double size = 0.0;
    for (std::int64_t i = 0; i < x.hidden_size; ++i) {
      const long double term =
          (static_cast<long double>(got[t * x.hidden_size + i]) - norm.offset(i)) / norm.gamma[i];
      sum += term;
      // what rounding gamma z + (beta - shift) can move, and z itself
      size += static_cast<double>(std::abs(term)) +
              (std::abs(got[t * x.hidden_size + i]) + std::abs(norm.offset(i))) /
                  std::abs(norm.gamma[i]);
    }
    worst = std::max(worst, static_cast<double>(std::abs(sum)) /
                                (kUnit * size * (static_cast<double>(x.hidden_size) / 16 + 4)));
  }
  return worst;
}

// <1/gamma, h - beta> = 0 for every input and every eps: mathematics, equation (1). RMSNorm is the
// control.
TEST(LayerNormRecomputeTest, InverseGammaIsConstantForAnyInputAndAnyEps) {
  for (const ElementType type :
       {ElementType::float32, ElementType::float64, ElementType::bfloat16}) {
    for (const std::int64_t hidden_size : {2, 7, 64, 768, 4096}) {
      for (const double eps : {0.0, 1e-12, 1e-5, 1.0, 1e6}) {
        for (const auto& [scale, mean] :
             {std::pair<double, double>{1.0, 0.0}, {1e-6, 0.0}, {1e4, 0.0}, {1.0, 1000.0}}) {
          TestRows x = gaussian_rows(3, hidden_size, type, scale, mean);
          x.set(1, 0, 1e4);
          EXPECT_LE(worst_constant(x, random_norm(NormType::layernorm, hidden_size, eps)), 1.0)
              << "hidden_size " << hidden_size << " eps " << eps << " scale " << scale << " mean "
              << mean;
        }
      }
    }
  }
}

TEST(RmsNormRecomputeTest, InverseGammaIsNotConstant) {
  for (const std::int64_t hidden_size : {64, 768, 4096}) {
    EXPECT_GT(worst_constant(gaussian_rows(3, hidden_size, ElementType::float32, 1.0, 0.0),
                             random_norm(NormType::rmsnorm, hidden_size, 1e-5)),
              1e6);
  }
}

}  // namespace
}  // namespace deadray::kernels
