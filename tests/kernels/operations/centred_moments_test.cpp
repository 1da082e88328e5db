#include "kernels/operations/centred_moments.h"

#include <gtest/gtest.h>

#include "tests/kernels/operations/moments_reference.h"

namespace deadray::kernels {
namespace {

class CentredMomentsKernelTest
    : public ::testing::TestWithParam<std::tuple<NormType, ElementType>> {
 protected:
  TestNorm norm(std::int64_t hidden_size) const {
    return random_norm(std::get<0>(GetParam()), hidden_size, 1e-5);
  }
  TestRows rows(std::int64_t n_tokens, std::int64_t hidden_size) const {
    return gaussian_rows(n_tokens, hidden_size, std::get<1>(GetParam()), 1.0, 0.3);
  }
};

Moments add(const TestRows& x, const TestNorm& norm) {
  Moments moments = empty_moments(x.hidden_size);
  add_moments(x.view(), norm.arguments(), moments.sums.data(), moments.gram.data());
  return moments;
}
Moments finish(Moments moments, std::int64_t n_tokens, bool centred) {
  finish_moments(n_tokens, static_cast<std::int64_t>(moments.sums.size()), centred,
                 moments.sums.data(), moments.mean.data(), moments.gram.data());
  return moments;
}

TEST_P(CentredMomentsKernelTest, SumsAgreeWithLongDoubleAndTheUpperTriangleIsLeftAlone) {
  for (const auto& [n_tokens, n] :
       {std::pair<int, int>{1, 1}, {1, 7}, {5, 7}, {33, 16}, {70, 65}}) {
    const TestRows x = rows(n_tokens, n);
    const Moments got = add(x, norm(n));
    const MomentsReference want = reference_moments(x, norm(n));
    const double bound = product_bound(n_tokens, n);
    for (int j = 0; j < n; ++j) {
      EXPECT_NEAR(got.sums[j], static_cast<double>(want.sums[j]),
                  bound * std::sqrt(n_tokens * want.squares[j]));
      for (int i = 0; i < n; ++i) {
        const double product = static_cast<double>(want.gram[j * n + i]);
        EXPECT_NEAR(got.gram[j * n + i], i < j ? 0.0 : product,
                    bound * std::sqrt(want.squares[i] * want.squares[j]))
            << i << ", " << j;
      }
    }
  }
}

TEST_P(CentredMomentsKernelTest, FinishingGivesMeanAndCovarianceExactlySymmetric) {
  constexpr int kTokens = 50, n = 33;
  const TestRows x = rows(kTokens, n);
  const MomentsReference sums = reference_moments(x, norm(n));
  const Moments centred = finish(add(x, norm(n)), kTokens, true),
                uncentred = finish(add(x, norm(n)), kTokens, false);
  for (int j = 0; j < n; ++j) {
    EXPECT_NEAR(centred.mean[j], static_cast<double>(sums.sums[j] / kTokens),
                product_bound(kTokens, n) * std::sqrt(sums.squares[j] / kTokens));
    EXPECT_EQ(centred.mean[j], uncentred.mean[j]);
    for (int i = 0; i < n; ++i) {
      const long double second = sums.gram[j * n + i] / kTokens,
                        covariance = second - sums.sums[i] / kTokens * (sums.sums[j] / kTokens);
      const double bound =
          product_bound(kTokens, n) * std::sqrt(sums.squares[i] * sums.squares[j]) / kTokens;
      // The product of the means errs by two more.
      EXPECT_NEAR(centred.gram[j * n + i], static_cast<double>(covariance), 3 * bound);
      EXPECT_NEAR(uncentred.gram[j * n + i], static_cast<double>(second), bound);
      EXPECT_EQ(centred.gram[j * n + i], centred.gram[i * n + j]);
      EXPECT_EQ(uncentred.gram[j * n + i], uncentred.gram[i * n + j]);
    }
  }
}

TEST_P(CentredMomentsKernelTest, SetsOfSumsMergeByAddition) {
  const TestRows x = rows(75, 20);
  const TestNorm parameters = norm(20);
  const Moments whole = add(x, parameters);
  Moments a = empty_moments(20), b = empty_moments(20);
  add_moments(x.view().slice(0, 31), parameters.arguments(), a.sums.data(), a.gram.data());
  add_moments(x.view().slice(31, 0), parameters.arguments(), b.sums.data(), b.gram.data());
  add_moments(x.view().slice(31, 44), parameters.arguments(), b.sums.data(), b.gram.data());
  // Two orders of summation of the same 75 terms, each within 75 u of their magnitudes.
  const MomentsReference size = reference_moments(x, parameters);
  for (std::size_t j = 0; j < 20; ++j) {
    EXPECT_NEAR(a.sums[j] + b.sums[j], whole.sums[j],
                2 * 75 * 0x1p-53 * std::sqrt(75 * size.squares[j]));
    for (std::size_t i = j; i < 20; ++i) {
      EXPECT_NEAR(a.gram[j * 20 + i] + b.gram[j * 20 + i], whole.gram[j * 20 + i],
                  2 * 75 * 0x1p-53 * std::sqrt(size.squares[i] * size.squares[j]));
    }
  }
}

TEST_P(CentredMomentsKernelTest, NoRowsGiveZeros) {
  for (const bool centred : {true, false}) {
    const Moments nothing = finish(add(rows(0, 9), norm(9)), 0, centred);
    EXPECT_EQ(nothing.gram, std::vector<double>(81));
    EXPECT_EQ(nothing.mean, std::vector<double>(9));
  }
}

// With the shift, no more than the rounding of C is left along 1/gamma; for RMSNorm, a part of the
// variance.
TEST_P(CentredMomentsKernelTest, InverseGammaIsDeadUnderLayerNormAlone) {
  for (const std::int64_t hidden_size : {7, 64, 150}) {
    const TestRows x = rows(200, hidden_size);
    TestNorm parameters = norm(hidden_size);
    parameters.shift = parameters.beta;
    const std::vector<double> v = inverse_gamma(parameters);
    const double variance = quadratic_form(finish(add(x, parameters), 200, true).gram, v);
    const double rounding = quadratic_bound(reference_moments(x, parameters), v, 200);
    if (parameters.type == NormType::layernorm) {
      EXPECT_LE(std::abs(variance), rounding) << hidden_size;
    } else {
      EXPECT_GT(variance, 1e6 * rounding) << hidden_size;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, CentredMomentsKernelTest,
    ::testing::Combine(::testing::Values(NormType::layernorm, NormType::rmsnorm),
                       ::testing::Values(ElementType::float32, ElementType::float64,
                                         ElementType::bfloat16)));

// A beta of 1e6 has mean products of 1e12, whose rounding of 1e-4 is all that an unshifted
// covariance shows along a dead direction.
TEST(CentredMomentsLayerNormTest, ShiftKeepsLargeBetaFromDrowningTheDeadDirection) {
  const TestRows x = gaussian_rows(300, 40, ElementType::float32, 1.0, 0.0);
  TestNorm norm = random_norm(NormType::layernorm, 40, 1e-5);
  for (double& beta : norm.beta) beta *= 1e6;
  const std::vector<double> v = inverse_gamma(norm);
  norm.shift.assign(40, 0.0);
  const double drowned = quadratic_form(finish(add(x, norm), 300, true).gram, v);
  norm.shift = norm.beta;
  const double resolved = quadratic_form(finish(add(x, norm), 300, true).gram, v);
  const double rounding = quadratic_bound(reference_moments(x, norm), v, 300);
  EXPECT_LE(std::abs(resolved), rounding);
  EXPECT_GT(std::abs(drowned), 1e4 * rounding);
}

TEST(CentredMomentsIdentityTest, GivesTheMomentsOfTheRowsThemselves) {
  constexpr int kTokens = 40, n = 12;
  const TestRows x = gaussian_rows(kTokens, n, ElementType::float32, 1.0, 0.3);
  NormArguments none;
  none.type = NormType::identity;
  Moments got = empty_moments(n);
  add_moments(x.view(), none, got.sums.data(), got.gram.data());
  got = finish(got, kTokens, false);
  for (int j = 0; j < n; ++j) {
    for (int i = 0; i < n; ++i) {
      long double want = 0.0L, size = 0.0L;
      for (int t = 0; t < kTokens; ++t) {
        const long double product =
            static_cast<long double>(x.value(t, i)) * x.value(t, j) / kTokens;
        want += product, size += std::abs(product);
      }
      EXPECT_NEAR(got.gram[j * n + i], static_cast<double>(want),
                  (kTokens + 2) * 0x1p-53 * static_cast<double>(size));  // a dot product's
    }
  }
}

}  // namespace
}  // namespace deadray::kernels
