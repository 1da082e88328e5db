#include <gtest/gtest.h>

#include <limits>
#include <optional>

#include "kernels/spectrum/cholesky.h"
#include "tests/gpu/symmetric.h"

namespace deadray::kernels {
namespace {

using namespace deadray::testing;

std::optional<Matrix> factor(const Matrix& a) {
  DeviceContext context;
  const std::size_t bytes = operations().cholesky_workspace(context, a.n);
  DeviceArray<double> matrix(a.values);
  DeviceArray<unsigned char> workspace(bytes);
  if (!operations().cholesky(context, matrix.data(), a.n, workspace.data(), bytes, nullptr))
    return std::nullopt;
  return Matrix(a.n, matrix.download());
}

Matrix invert(const Matrix& lower) {
  DeviceContext context;
  const std::size_t bytes = operations().cholesky_workspace(context, lower.n);
  DeviceArray<double> matrix(lower.values);
  DeviceArray<unsigned char> workspace(bytes);
  operations().triangular_inverse(context, matrix.data(), lower.n, workspace.data(), bytes,
                                  nullptr);
  return Matrix(lower.n, matrix.download());
}

std::vector<double> product(const Matrix& inverse, const std::vector<double>& x) {
  DeviceContext context;
  DeviceArray<double> matrix(inverse.values), from(x), to(x.size()), scratch(x.size());
  operations().inverse_product(context, matrix.data(), inverse.n, from.data(), to.data(),
                               scratch.data(), nullptr);
  return to.download();
}

/// L^-T L^-1 x by substitution, in the precision of Real.
template <class Real>
std::vector<Real> substitute(const Matrix& lower, const std::vector<double>& x) {
  std::vector<Real> y(x.begin(), x.end());
  for (std::int64_t j = 0; j < lower.n; ++j) {
    const Real value = y[static_cast<std::size_t>(j)] /= lower(j, j);
    for (std::int64_t i = j + 1; i < lower.n; ++i)
      y[static_cast<std::size_t>(i)] -= static_cast<Real>(lower(i, j)) * value;
  }
  for (std::int64_t j = lower.n - 1; j >= 0; --j) {
    Real sum = y[static_cast<std::size_t>(j)];
    for (std::int64_t i = j + 1; i < lower.n; ++i)
      sum -= static_cast<Real>(lower(i, j)) * y[static_cast<std::size_t>(i)];
    y[static_cast<std::size_t>(j)] = sum / lower(j, j);
  }
  return y;
}

double relative_error(const std::vector<double>& got, const std::vector<long double>& want) {
  long double error = 0, size = 0;
  for (std::size_t i = 0; i < want.size(); ++i)
    error += std::pow(got[i] - want[i], 2), size += want[i] * want[i];
  return static_cast<double>(std::sqrt(error / size));
}

void expect_lower(const Matrix& a) {
  for (std::int64_t j = 1; j < a.n; ++j)
    for (std::int64_t i = 0; i < j; ++i) ASSERT_EQ(a(i, j), 0.0) << i << ", " << j;
}

/// The norm of the part that is looked at, of n rows and columns up to 300 all of it.
/// @param at  at(i, j), long double
template <class At>
double sampled_norm(std::int64_t n, const At& at) {
  long double squares = 0;
  for (const std::int64_t j : sample(n))
    for (const std::int64_t i : sample(n)) squares += std::pow(at(i, j), 2);
  return static_cast<double>(std::sqrt(squares));
}

// As LAPACK's own test (dpot01): |A - L L^T| <= 30 n u |A|, by the norm. Element by element more
// could be asked of substitution (Higham, Accuracy and Stability, theorem 10.3), but not of a
// factorisation that multiplies with inverted blocks of the diagonal.
void expect_factor(const Matrix& lower, const Matrix& a) {
  const double residual = sampled_norm(a.n, [&](std::int64_t i, std::int64_t j) {
    long double sum = a(i, j);
    for (std::int64_t l = 0; l <= std::min(i, j); ++l)
      sum -= static_cast<long double>(lower(i, l)) * lower(j, l);
    return sum;
  });
  EXPECT_LE(residual, 30 * static_cast<double>(a.n) * kRoundoff * norm(a.values)) << a.n;
}

TEST(CholeskyGpuTest, FactorReproducesTheMatrix) {
  for (const std::int64_t n : sizes()) {
    for (const double smallest : {1.0, 1e-6, 1e-12}) {
      Matrix a = with_spectrum(geometric(n, smallest, 1.0));
      const Matrix whole = a;
      for (std::int64_t j = 1; j < n; ++j)
        for (std::int64_t i = 0; i < j; ++i)
          a(i, j) = std::numeric_limits<double>::quiet_NaN();  // not to be read
      const std::optional<Matrix> lower = factor(a);
      ASSERT_TRUE(lower) << n << ", " << smallest;
      expect_lower(*lower);
      SCOPED_TRACE(std::to_string(n) + ", " + std::to_string(smallest));
      expect_factor(*lower, whole);
    }
  }
}

TEST(CholeskyGpuTest, SaysWhatIsNotPositiveDefinite) {
  for (const std::int64_t n : sizes()) {
    std::vector<double> eigenvalues = geometric(n, 0.1, 3.0);
    eigenvalues[0] = -1e-3;
    EXPECT_FALSE(factor(with_spectrum(eigenvalues))) << n;
    EXPECT_FALSE(factor(Matrix(n))) << n << ", zero";
  }
  Matrix ones(7, std::vector<double>(49, 1.0));  // every step is exact
  EXPECT_FALSE(factor(ones));
}

// No factor, or, where rounding lifts the zero, one of the matrix; the next call is right.
TEST(CholeskyGpuTest, SingularCovariancesLeaveTheNextCallRight) {
  for (const std::int64_t n : {2, 64, 257}) {
    const Matrix next = with_spectrum(geometric(n, 0.1, 3.0));
    for (const Spectrum& spectrum : singular_spectra(n)) {
      SCOPED_TRACE(spectrum.name + ", n " + std::to_string(n));
      const Matrix a = with_spectrum(spectrum.eigenvalues);
      if (const std::optional<Matrix> lower = factor(a)) expect_factor(*lower, a);
      const std::optional<Matrix> lower = factor(next);
      ASSERT_TRUE(lower);
      expect_factor(*lower, next);
    }
  }
}

// cuSOLVER's documentation says nothing of NaN.
TEST(CholeskyGpuTest, SaysWhatIsNotFinite) {
  for (const double value :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    for (const auto& [i, j] : {std::pair<int, int>{0, 0}, {63, 63}, {63, 0}, {40, 17}}) {
      Matrix a = with_spectrum(geometric(64, 0.1, 3.0));
      a(i, j) = value;
      EXPECT_FALSE(factor(a)) << i << ", " << j << " is " << value;
    }
  }
}

// As LAPACK's own test (dtrt01): |L X - 1| <= 30 n u |L| |X|, by the norm. The library may invert
// small blocks of the diagonal for the solves, so that no bound holds element by element.
TEST(CholeskyGpuTest, InverseIsARightInverse) {
  for (const std::int64_t n : sizes()) {
    for (const double smallest : {1.0, 1e-6, 1e-12}) {
      const std::optional<Matrix> lower = factor(with_spectrum(geometric(n, smallest, 1.0)));
      ASSERT_TRUE(lower) << n << ", " << smallest;
      const Matrix inverse = invert(*lower);
      expect_lower(inverse);
      const double residual = sampled_norm(n, [&](std::int64_t i, std::int64_t j) {
        long double sum = i == j ? -1 : 0;
        for (std::int64_t l = j; l <= i; ++l)
          sum += static_cast<long double>((*lower)(i, l)) * inverse(l, j);
        return sum;
      });
      EXPECT_LE(residual, 30 * static_cast<double>(n) * kRoundoff * norm(lower->values) *
                              norm(inverse.values))
          << n << ", " << smallest;
    }
  }
}

// Against the same solves in long double, on condition numbers up to 1e12: the bound of the header,
// and no more than ten times what substitution in double loses.
TEST(CholeskyGpuTest, ProductsAreAsGoodAsSolves) {
  for (const std::int64_t n : sizes()) {
    const std::vector<double> x = unit_vector(9, n);
    for (const double condition : {1.0, 1e4, 1e8, 1e12}) {
      const std::optional<Matrix> lower = factor(with_spectrum(geometric(n, 1 / condition, 1.0)));
      ASSERT_TRUE(lower) << n << ", " << condition;
      const std::vector<long double> want = substitute<long double>(*lower, x);
      const double error = relative_error(product(invert(*lower), x), want),
                   solved = relative_error(substitute<double>(*lower, x), want);
      EXPECT_LE(error, 4 * static_cast<double>(n) * kRoundoff * condition)
          << n << ", " << condition;
      EXPECT_LE(error, 10 * (solved + kRoundoff)) << n << ", " << condition;
    }
  }
}

// What the certificate rests on: power steps with the inverse find the smallest eigenvalue. The
// matrix as made is off by up to 20 u; the factor by (n + 1) u trace at worst, but its roundings,
// as they are independent, do not add up along one vector: sqrt(n) u.
TEST(CholeskyGpuTest, ProductsFindTheSmallestEigenvalue) {
  for (const std::int64_t n : sizes()) {
    for (const double condition : {1e4, 1e8, 1e12}) {
      std::vector<double> eigenvalues = geometric(n, 100 / condition, 1.0);
      eigenvalues[0] = 1 / condition;
      const Matrix a = with_spectrum(eigenvalues), inverse = invert(factor(a).value());
      std::vector<double> x = unit_vector(9, n);
      double largest = 0.0;
      // After 12 steps 100 to the -24th of the square of what else was in x is left.
      for (int step = 0; step < 12; ++step) {
        x = product(inverse, x);
        largest = norm(x);
        for (double& value : x) value /= largest;
      }
      const double off = (20 + std::sqrt(static_cast<double>(n))) * kRoundoff;
      EXPECT_NEAR(1 / largest, eigenvalues[0], off) << n << ", " << condition;
    }
  }
}

TEST(CholeskyGpuTest, ProductsRepeatBitForBit) {
  const Matrix inverse = invert(factor(with_spectrum(geometric(257, 1e-3, 1.0))).value());
  const std::vector<double> x = unit_vector(9, 257);
  EXPECT_EQ(product(inverse, x), product(inverse, x));
}

TEST(CholeskyGpuTest, RefusesASmallWorkspace) {
  DeviceContext context;
  const Matrix a = with_spectrum(geometric(64, 0.1, 3.0));
  DeviceArray<double> matrix(a.values);
  DeviceArray<unsigned char> workspace(operations().cholesky_workspace(context, 64));
  EXPECT_THROW(operations().cholesky(context, matrix.data(), 64, workspace.data(), 256, nullptr),
               CudaError);
  EXPECT_THROW(
      operations().triangular_inverse(context, matrix.data(), 64, workspace.data(), 256, nullptr),
      CudaError);
}

}  // namespace
}  // namespace deadray::kernels
