#include "verify/spectrum/certificate.h"

#include <gtest/gtest.h>

#include "tests/verify/spectrum/spectra.h"

namespace deadray {
namespace {

using namespace testing;

/// What Lanczos on the inverse leaves of `next`, relative: the promise of certify().
constexpr double kPromised = 1e-4;

class CertificateSpectraTest : public ::testing::TestWithParam<std::int64_t> {
 protected:
  const std::int64_t d = GetParam();
  const at::Tensor q = orthogonal(d, 17);
};

TEST_P(CertificateSpectraTest, FindsTheNextEigenvalueWithinItsOwnBound) {
  for (const auto& s : hard_spectra(d)) {
    if (s.null == 0 || s.null >= d) continue;
    SCOPED_TRACE(s.name);
    const Certificate c = certify(with_spectrum(q, s.values), q.narrow(1, 0, s.null));
    const double next = s.values[s.null].item<double>(), last = s.values[d - 1].item<double>();
    EXPECT_TRUE(c.factored);
    EXPECT_NEAR(c.next, next, kPromised * next + tolerance(s));
    EXPECT_NEAR(c.next, next, c.next_error + tolerance(s));
    // It stops at a relative residual of 1e-3, or after 60 steps, where a flat top leaves some
    // 1e-2. A Ritz value never exceeds the largest eigenvalue.
    EXPECT_NEAR(c.largest, last, 1e-2 * last);
    EXPECT_LE(c.largest, last + tolerance(s));
    // |C P| and P^T C P of a null space P: what forming C left there.
    EXPECT_LE(c.basis_residual * last, tolerance(s));
    EXPECT_LE(std::abs(c.basis_variance), tolerance(s));
  }
}

TEST_P(CertificateSpectraTest, OfNothingIsTheSmallestEigenvalue) {
  for (const auto& s : hard_spectra(d)) {
    if (s.null > 0 || s.name.starts_with("steep_to_rounding")) continue;
    SCOPED_TRACE(s.name);
    const at::Tensor c = with_spectrum(q, s.values);
    const double smallest = s.values[0].item<double>();
    EXPECT_NEAR(certify(c, at::empty({d, 0}, fp64())).next, smallest,
                kPromised * smallest + tolerance(s));
    // sqrt(100 lambda); a root halves the relative error, here it is taken whole.
    EXPECT_NEAR(smallest_singular_value(c, 100), 10 * std::sqrt(smallest),
                10 * std::sqrt(smallest) * (kPromised + tolerance(s) / smallest));
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, CertificateSpectraTest, ::testing::Values(1, 2, 7, 64, 257));

TEST(CertificateTest, ProvesAGapByInertia) {
  const std::int64_t d = 64;
  const at::Tensor q = orthogonal(d, 18), values = at::linspace(1e-3, 1, d, fp64());
  values[0].zero_();
  const Certificate c = certify(with_spectrum(q, values), q.narrow(1, 0, 1));
  EXPECT_GT(c.proven, 0.0);
  EXPECT_LT(c.proven, values[1].item<double>());
  // d u lambda_d / lambda_2, 1e-11 here, times what the bound is too large by; 1e-9 leaves room.
  EXPECT_LT(c.sine_bound, 1e-9);
}

TEST(CertificateTest, ProvesNothingWhereASecondNullDirectionHides) {
  const std::int64_t d = 64;
  const at::Tensor q = orthogonal(d, 19), values = at::linspace(0.1, 1, d, fp64());
  values.narrow(0, 0, 2).zero_();
  const Certificate c = certify(with_spectrum(q, values), q.narrow(1, 0, 1));
  EXPECT_EQ(c.proven, 0.0);
  EXPECT_LE(c.next, d * kEps) << "below the rounding of an eigenvalue 0 beside lambda_d = 1";
  EXPECT_EQ(c.sine_bound, 1.0);
}

TEST(CertificateTest, BoundsTheAngleOfATiltedBasis) {
  const std::int64_t d = 64;
  const at::Tensor q = orthogonal(d, 20), values = at::linspace(0.5, 1, d, fp64());
  values[0].zero_();
  const at::Tensor c = with_spectrum(q, values);
  for (const double tilt : {1e-12, 1e-8, 1e-4, 1e-2}) {
    const at::Tensor p =
        (q.select(1, 0) * std::cos(tilt) + q.select(1, d - 1) * std::sin(tilt)).unsqueeze(1);
    EXPECT_GE(certify(c, p).sine_bound, std::sin(tilt)) << "a bound must hold";
  }
}

TEST(CertificateTest, DoesNotAcceptAWrongDirection) {
  const std::int64_t d = 64;
  const at::Tensor q = orthogonal(d, 21), values = at::linspace(0.5, 1, d, fp64());
  values[0].zero_();
  const Certificate c = certify(with_spectrum(q, values), q.narrow(1, 5, 1));
  // The sixth of 64 eigenvalues from 0.5 to 1, and |C| is 1: nothing is below 0.5 but the null one.
  EXPECT_GT(c.basis_residual, 0.4);
  EXPECT_GT(c.basis_variance, 0.4);
  EXPECT_EQ(c.sine_bound, 1.0);
}

TEST(CertificateTest, ConvergesAtADenseEdge) {
  // Lanczos is slowest where the bottom of the spectrum is a continuum: covariances of independent
  // coordinates (Marchenko-Pastur).
  const std::int64_t d = 300;
  for (const std::int64_t n : {d + 5, 2 * d, 20 * d}) {
    const at::Tensor x = gaussian(n, d, 26), c = x.t().mm(x) / static_cast<double>(n);
    const Certificate found = certify(c, at::empty({d, 0}, fp64()));
    const double smallest = at::linalg_eigvalsh(c)[0].item<double>();
    EXPECT_NEAR(found.next, smallest, kPromised * smallest + d * kEps)
        << n << " rows, " << found.steps << " steps";
    RecordProperty("steps_" + std::to_string(n), found.steps);
  }
}

TEST(CertificateTest, RepeatsBitForBit) {
  const at::Tensor q = orthogonal(50, 22), c = with_spectrum(q, at::linspace(0.1, 1, 50, fp64()));
  EXPECT_EQ(certify(c, q.narrow(1, 0, 1)).next, certify(c, q.narrow(1, 0, 1)).next);
}

TEST(CertificateTest, LeavesItsInputAlone) {
  const at::Tensor q = orthogonal(20, 23), c = with_spectrum(q, at::linspace(0.1, 1, 20, fp64())),
                   copy = c.clone();
  certify(c, q.narrow(1, 0, 1));
  EXPECT_TRUE(at::equal(c, copy));
}

TEST(CertificateTest, IsEmptyForTheZeroMatrix) {
  const Certificate c = certify(at::zeros({9, 9}, fp64()), orthogonal(9, 24).narrow(1, 0, 1));
  EXPECT_FALSE(c.factored);
  EXPECT_EQ(c.largest, 0.0);
  EXPECT_EQ(c.next, 0.0);
}

TEST(SmallestSingularValueTest, IsZeroBelowRounding) {
  const std::int64_t d = 64;
  const at::Tensor values = at::linspace(0.1, 1, d, fp64());
  values[0].zero_();
  EXPECT_EQ(smallest_singular_value(with_spectrum(orthogonal(d, 25), values), 100), 0.0);
  EXPECT_EQ(smallest_singular_value(at::zeros({d, d}, fp64()), 100), 0.0);
}

TEST(SmallestSingularValueTest, IsNotANumberForWhatIsNot) {
  EXPECT_TRUE(std::isnan(smallest_singular_value(at::full({4, 4}, std::nan(""), fp64()), 100)));
}

}  // namespace
}  // namespace deadray
