#include "kernels/spectrum/spectrum.h"

#include <gtest/gtest.h>

#include <limits>
#include <optional>

#include "tests/gpu/symmetric.h"
#include "tests/support/variable.h"

namespace deadray::kernels {
namespace {

using namespace deadray::testing;
using cuda::EighDriver, cuda::EighResult;

/// Makes an eigensolver of the emulation go wrong for as long as it lives. Takes one of the
/// variables below, and a fault of tests/simt/cusolver.cpp.
using Fault = test::Variable;
constexpr const char* kXsyevd = "DEADRAY_SIMT_XSYEVD";
constexpr const char* kXsyevdx = "DEADRAY_SIMT_XSYEVDX";
constexpr const char* kDsyevj = "DEADRAY_SIMT_DSYEVJ";

struct Eigenpairs {
  EighResult check;
  std::vector<double> values;
  Matrix vectors;  // the first k columns
};

class EighGpuTest : public ::testing::Test {
 protected:
  /// k = 0: all, by eigh().
  static Eigenpairs solve(const Matrix& a, std::int64_t k = 0) {
    DeviceContext context;
    DeviceArray<double> matrix(a.values), values(static_cast<std::size_t>(k > 0 ? k : a.n));
    const std::size_t bytes = k > 0 ? operations().eigh_bottom_workspace(context, a.n, k)
                                    : operations().eigh_workspace(context, a.n);
    DeviceArray<unsigned char> workspace(bytes);
    const EighResult check =
        k > 0 ? operations().eigh_bottom(context, matrix.data(), a.n, k, values.data(),
                                         workspace.data(), bytes, nullptr)
              : operations().eigh(context, matrix.data(), a.n, values.data(), workspace.data(),
                                  bytes, nullptr);
    return {check, values.download(), Matrix(a.n, matrix.download())};
  }

  static std::string failure(const Matrix& a, std::int64_t k = 0) {
    try {
      const Eigenpairs pairs = solve(a, k);
      ADD_FAILURE() << "accepted with residual " << pairs.check.residual << ", orthogonality "
                    << pairs.check.orthogonality;
      return "";
    } catch (const CudaError& error) {
      return error.what();
    }
  }
};

/// That the pairs are as good as eigh() demands of them, 30 n u, by sums that share no code with
/// its own check.
void expect_eigenpairs(const Matrix& a, const Eigenpairs& pairs) {
  const auto k = static_cast<std::int64_t>(pairs.values.size());
  EXPECT_TRUE(std::is_sorted(pairs.values.begin(), pairs.values.end()));
  const double unit = static_cast<double>(a.n) * kRoundoff, size = norm(a.values);
  for (const std::int64_t j : sample(k)) {
    long double square = 0, leak = 0;
    const long double lambda = pairs.values[static_cast<std::size_t>(j)];
    for (std::int64_t i = 0; i < a.n; ++i) {
      long double r = -lambda * pairs.vectors(i, j);
      for (std::int64_t l = 0; l < a.n; ++l)
        r += static_cast<long double>(a(l, i)) * pairs.vectors(l, j);
      square += r * r;
    }
    for (const std::int64_t other : sample(k)) {
      long double product = other == j ? -1 : 0;
      for (std::int64_t i = 0; i < a.n; ++i)
        product += static_cast<long double>(pairs.vectors(i, j)) * pairs.vectors(i, other);
      leak += product * product;
    }
    EXPECT_LE(std::sqrt(square), 30 * unit * size) << "column " << j << " of " << a.n;
    EXPECT_LE(std::sqrt(leak), 30 * unit) << "column " << j << " of " << a.n;
  }
}

/// Weyl: an eigenvalue is off by no more than the residual, what the vectors lack of orthogonality,
/// and how the matrix was made.
void expect_eigenvalues(const Matrix& a, const Eigenpairs& pairs, const std::vector<double>& want) {
  const double unit = static_cast<double>(a.n) * kRoundoff * norm(a.values);
  for (std::size_t i = 0; i < pairs.values.size(); ++i)
    EXPECT_NEAR(pairs.values[i], want[i],
                (pairs.check.residual + pairs.check.orthogonality + 20) * unit)
        << i << " of " << a.n;
}

TEST_F(EighGpuTest, FindsEverySpectrum) {
  for (const std::int64_t n : sizes()) {
    for (const Spectrum& spectrum : spectra(n)) {
      SCOPED_TRACE(spectrum.name);
      const Matrix a = with_spectrum(spectrum.eigenvalues);
      const Eigenpairs pairs = solve(a);
      EXPECT_EQ(pairs.check.driver, EighDriver::syevd);
      expect_eigenpairs(a, pairs);
      expect_eigenvalues(a, pairs, spectrum.eigenvalues);
    }
  }
}

TEST_F(EighGpuTest, FindsTheBottom) {
  for (const std::int64_t n : sizes()) {
    for (const std::int64_t k : {std::int64_t{1}, std::min<std::int64_t>(n, 4), n}) {
      for (const Spectrum& spectrum : spectra(n)) {
        SCOPED_TRACE(spectrum.name);
        const Matrix a = with_spectrum(spectrum.eigenvalues);
        const Eigenpairs pairs = solve(a, k);
        EXPECT_EQ(pairs.check.driver, EighDriver::syevdx);
        expect_eigenpairs(a, pairs);
        expect_eigenvalues(a, pairs, spectrum.eigenvalues);
      }
    }
  }
}

TEST_F(EighGpuTest, FindsDiagonalMatrices) {
  for (const std::int64_t n : sizes()) {
    const std::vector<double> want = geometric(n, 1e-3, 1e3);
    Matrix a(n);
    for (std::int64_t i = 0; i < n; ++i)
      a(i, i) = want[static_cast<std::size_t>(i * 5 % n)];  // 5 divides no size: a permutation
    const Eigenpairs pairs = solve(a);
    expect_eigenpairs(a, pairs);
    expect_eigenvalues(a, pairs, want);
  }
}

// A result, or an error that says so; whichever it is, the next call on the same handles is right.
TEST_F(EighGpuTest, SingularCovariancesLeaveTheNextCallRight) {
  for (const std::int64_t n : small_shapes() ? std::vector<std::int64_t>{2, 64}
                                             : std::vector<std::int64_t>{2, 64, 257, 768}) {
    const std::vector<double> sound = geometric(n, 0.1, 3.0);
    const Matrix next = with_spectrum(sound);
    for (const Spectrum& spectrum : singular_spectra(n)) {
      for (const std::int64_t k : {0, 2}) {
        SCOPED_TRACE(spectrum.name + ", n " + std::to_string(n) + ", k " + std::to_string(k));
        const Matrix a = with_spectrum(spectrum.eigenvalues);
        try {
          const Eigenpairs pairs = solve(a, k);
          expect_eigenpairs(a, pairs);
          expect_eigenvalues(a, pairs, spectrum.eigenvalues);
        } catch (const CudaError& error) {
          EXPECT_EQ(error.kind(), CudaError::Kind::unsolved) << error.what();
        }
        const Eigenpairs pairs = solve(next, k);
        expect_eigenpairs(next, pairs);
        expect_eigenvalues(next, pairs, sound);
      }
    }
  }
}

// Rows and columns from 1e-15 to 1e15: elements from 1e-30 to 1e30.
TEST_F(EighGpuTest, PassesOnGradedMatrices) {
  const std::int64_t n = 64;
  const std::vector<double> grades = geometric(n, 1e-15, 1e15);
  Matrix a = with_spectrum(geometric(n, 0.1, 3.0));
  for (std::int64_t j = 0; j < n; ++j)
    for (std::int64_t i = 0; i < n; ++i)
      a(i, j) *= grades[static_cast<std::size_t>(i)] * grades[static_cast<std::size_t>(j)];
  expect_eigenpairs(a, solve(a));
}

// A power of two changes no bit of the problem that a driver sees; the squares of these elements
// are no numbers.
TEST_F(EighGpuTest, SizeDoesNotMatter) {
  const std::vector<double> want = geometric(64, 0.1, 3.0);
  for (const int exponent : {-1000, -100, 100, 1000}) {
    Matrix a = with_spectrum(want);
    const double unit = 64 * kRoundoff * norm(a.values);
    for (double& value : a.values) value = std::ldexp(value, exponent);
    const Eigenpairs pairs = solve(a);
    const double off = pairs.check.residual + pairs.check.orthogonality + 20;
    for (std::size_t i = 0; i < want.size(); ++i)  // as in expect_eigenvalues
      EXPECT_NEAR(std::ldexp(pairs.values[i], -exponent), want[i], off * unit) << exponent;
  }
}

// A solver reads the lower triangle, the check both: with one element above the diagonal off by e,
// the residual is e/(n u |A|_F), and the solver's own on top; 0.1 is the rounding of the element.
// So the measure is what it says, and a wrong result is caught, on any device.
TEST_F(EighGpuTest, MeasuresWhatASolverGotWrong) {
  Matrix a = with_spectrum(geometric(64, 0.1, 3.0));
  const double unit = 64 * kRoundoff * norm(a.values), before = a(3, 40),
               own = solve(a).check.residual;
  a(3, 40) = before + 20 * unit;
  EXPECT_NEAR(solve(a).check.residual, 20, own + 0.1);
  a(3, 40) = before + 50 * unit;
  const std::string what = failure(a);
  for (const char* part : {"eigh[n=64]", "cusolverDnXsyevd gave residual", "; ",
                           "cusolverDnDsyevj gave residual", "at most 30"})
    EXPECT_NE(what.find(part), std::string::npos) << what;
  EXPECT_EQ(what.find('\n'), std::string::npos);
}

TEST_F(EighGpuTest, NamesWhatIsNotFinite) {
  for (const double value :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
        -std::numeric_limits<double>::infinity()}) {
    for (const std::int64_t n : {1, 7, 257}) {
      Matrix a = with_spectrum(geometric(n, 0.1, 3.0));
      a(n - 1, n / 2) = value;
      const std::string what = failure(a),
                        place = "[" + std::to_string(n - 1) + ", " + std::to_string(n / 2) + "]";
      EXPECT_NE(what.find("eigh[n=" + std::to_string(n) + "]"), std::string::npos) << what;
      EXPECT_NE(what.find("element " + place + " is " + std::to_string(value)), std::string::npos)
          << what;
      EXPECT_EQ(what.find("cusolver"), std::string::npos) << "a solver saw it: " << what;
    }
  }
}

TEST_F(EighGpuTest, RefusesASmallWorkspaceAndABadCount) {
  DeviceContext context;
  const Matrix a = with_spectrum(geometric(7, 0.1, 3.0));
  DeviceArray<double> matrix(a.values), values(7);
  const std::size_t bytes = operations().eigh_workspace(context, 7);
  DeviceArray<unsigned char> workspace(bytes);
  EXPECT_THROW(operations().eigh(context, matrix.data(), 7, values.data(), workspace.data(),
                                 bytes - 1, nullptr),
               CudaError);
  for (const std::int64_t k : {0, 8}) {
    EXPECT_THROW(operations().eigh_bottom_workspace(context, 7, k), CudaError);
    EXPECT_THROW(operations().eigh_bottom(context, matrix.data(), 7, k, values.data(),
                                          workspace.data(), bytes, nullptr),
                 CudaError);
  }
  EXPECT_EQ(matrix.download(), a.values);
}

// Asked for once, for the largest.
TEST_F(EighGpuTest, OneWorkspaceServesManyCalls) {
  DeviceContext context;
  const std::size_t bytes = operations().eigh_workspace(context, 64);
  DeviceArray<unsigned char> workspace(bytes);
  for (const std::int64_t n : {64, 7, 64, 1}) {
    const Matrix a = with_spectrum(geometric(n, 0.1, 3.0));
    DeviceArray<double> matrix(a.values), values(static_cast<std::size_t>(n));
    const EighResult check = operations().eigh(context, matrix.data(), n, values.data(),
                                               workspace.data(), bytes, nullptr);
    expect_eigenpairs(a, {check, values.download(), Matrix(n, matrix.download())});
  }
}

// cuSOLVER counted its workspace in an int: near n = 23000 the query itself began to fail. Where it
// does not, the bytes must be right.
TEST_F(EighGpuTest, SaysWhenTheMatrixIsTooLarge) {
  DeviceContext context;
  for (const std::int64_t n : {25000, 60000}) {
    try {
      EXPECT_GT(operations().eigh_workspace(context, n),
                static_cast<std::size_t>(2 * n * n) * sizeof(double));
      EXPECT_FALSE(emulated());
    } catch (const CudaError& error) {
      const std::string what = error.what();
      EXPECT_NE(what.find("eigh_workspace[n=" + std::to_string(n) + "]"), std::string::npos)
          << what;
      EXPECT_NE(what.find("n near 23000"), std::string::npos) << what;
      EXPECT_EQ(error.kind(), CudaError::Kind::too_large) << what;
    }
  }
}

class EighFaultTest : public EighGpuTest {
 protected:
  void SetUp() override {
    if (!emulated()) GTEST_SKIP() << "only the emulation's solvers go wrong on purpose";
  }
  const std::vector<double> spectrum_ = geometric(64, 0.1, 3.0);
  const Matrix a_ = with_spectrum(spectrum_);
};

constexpr const char* kFaults[] = {"status", "info", "nan", "value", "vector", "order"};

TEST_F(EighFaultTest, SecondDriverTakesOver) {
  for (const char* what : kFaults) {
    SCOPED_TRACE(what);
    const Fault fault(kXsyevd, what);
    const Eigenpairs pairs = solve(a_);
    EXPECT_EQ(pairs.check.driver, EighDriver::syevj);
    expect_eigenpairs(a_, pairs);
    expect_eigenvalues(a_, pairs, spectrum_);
  }
}

TEST_F(EighFaultTest, TheBottomHasThreeDrivers) {
  for (const char* what : kFaults) {
    SCOPED_TRACE(what);
    const Fault fault(kXsyevdx, what);
    const Eigenpairs pairs = solve(a_, 5);
    EXPECT_EQ(pairs.check.driver, EighDriver::syevd);
    expect_eigenpairs(a_, pairs);
    const Fault second(kXsyevd, "status");
    EXPECT_EQ(solve(a_, 5).check.driver, EighDriver::syevj);
  }
}

// The first vector leans towards the last: two elements of V^T V are off by 20 n u/sqrt(2). The
// solver's own comes on top; 0.1 is the rounding of the vector.
TEST_F(EighFaultTest, MeasuresHowFarVectorsAreFromOrthogonal) {
  const double own = solve(a_).check.orthogonality;
  const Fault fault(kXsyevd, "skew");
  EXPECT_NEAR(solve(a_).check.orthogonality, 20, own + 0.1);
}

TEST_F(EighFaultTest, NamesBothFailures) {
  const Fault first(kXsyevd, "info");
  for (const auto& [fault, part] :
       {std::pair<const char*, const char*>{
            "status", "cusolverDnDsyevj gave CUSOLVER_STATUS_EXECUTION_FAILED"},
        {"nan", "cusolverDnDsyevj gave residual nan"},
        {"order", "cusolverDnDsyevj gave eigenvalues that do not ascend"}}) {
    const Fault second(kDsyevj, fault);
    const std::string what = failure(a_);
    EXPECT_NE(what.find("cusolverDnXsyevd gave info 1; "), std::string::npos) << what;
    EXPECT_NE(what.find(part), std::string::npos) << what;
  }
}

// Something can be done about it, whichever driver it was that wanted memory.
TEST_F(EighFaultTest, WantOfMemoryIsSaidWhicheverDriverMetIt) {
  const auto kind = [&](const char* first, const char* second) {
    const Fault one(kXsyevd, first), other(kDsyevj, second);
    try {
      solve(a_);
      ADD_FAILURE() << "accepted";
    } catch (const CudaError& error) {
      return error.kind();
    }
    return CudaError::Kind::other;
  };
  EXPECT_EQ(kind("memory", "nan"), CudaError::Kind::out_of_memory);
  EXPECT_EQ(kind("status", "memory"), CudaError::Kind::out_of_memory);
  EXPECT_EQ(kind("status", "status"), CudaError::Kind::other);
  EXPECT_EQ(kind("status", "nan"), CudaError::Kind::other);
  // All ran, none with a result that passes: what the CPU may do.
  EXPECT_EQ(kind("info", "nan"), CudaError::Kind::unsolved);
  EXPECT_EQ(kind("order", "order"), CudaError::Kind::unsolved);
}

/// The kind of error with which a query of workspace for every solver fails.
std::optional<CudaError::Kind> query_failure(std::int64_t n) {
  DeviceContext context;
  try {
    operations().eigh_bottom_workspace(context, n, 1);
  } catch (const CudaError& error) {
    return error.kind();
  }
  return std::nullopt;
}

// The Jacobi method, the second driver, may serve fewer sizes than the first: then the workspace is
// the first one's. Refused by cuSOLVER at 17000; at 30000 its workspace would overflow an int.
TEST_F(EighFaultTest, WorkspaceDoesWithoutADriverThatASizeIsTooLargeFor) {
  DeviceContext context;
  const Fault first(kXsyevd, "query takes any size"), bottom(kXsyevdx, "query takes any size");
  const std::size_t with = operations().eigh_workspace(context, 17000);
  {
    const Fault second(kDsyevj, "query refuses");
    EXPECT_LT(operations().eigh_workspace(context, 17000), with);
  }
  const std::size_t large = operations().eigh_workspace(context, 30000);
  EXPECT_GT(large, 3 * sizeof(double) * 30000 * 30000);  // the copy, and 2 n^2 of the first driver
  EXPECT_LT(large, 4 * sizeof(double) * 30000 * 30000);  // the copy, and 3 n^2 of the second one
}

// A size that every driver serves, a want of memory: neither says that the matrix is too large.
TEST_F(EighFaultTest, OtherFailuresOfAQueryArePassedOn) {
  for (const char* const solver : {kXsyevd, kXsyevdx, kDsyevj}) {
    SCOPED_TRACE(solver);
    {
      const Fault fault(solver, "query refuses");
      EXPECT_EQ(query_failure(64), CudaError::Kind::other);
    }
    const Fault fault(solver, "query wants memory");
    EXPECT_EQ(query_failure(64), CudaError::Kind::out_of_memory);
    EXPECT_EQ(query_failure(17000), CudaError::Kind::out_of_memory);
  }
  EXPECT_EQ(query_failure(64), std::nullopt);
}

// A count in an int that overflowed is no size: the first driver's says so, the second one's counts
// as absent. The emulation's Xsyevdx wants more for fewer eigenpairs, and gets it: see
// TheBottomHasThreeDrivers and FindsTheBottom, whose driver it must be.
TEST_F(EighFaultTest, SizesThatOverflowedAreNotAskedFor) {
  DeviceContext context;
  for (const char* const solver : {kXsyevd, kXsyevdx}) {
    const Fault fault(solver, "query overflows");
    EXPECT_EQ(query_failure(64), CudaError::Kind::too_large) << solver;
  }
  const std::size_t with = operations().eigh_workspace(context, 1000);  // the second driver's 3 n^2
  const Fault fault(kDsyevj, "query overflows");
  EXPECT_LT(operations().eigh_workspace(context, 1000), with);
  EXPECT_GT(operations().eigh_bottom_workspace(context, 1000, 1),
            operations().eigh_bottom_workspace(context, 1000, 1000));
}

// info = n + 1: the Jacobi method stopped short of its last bit. The check decides.
TEST_F(EighFaultTest, JacobiMayStopShortOfItsTolerance) {
  const Fault first(kXsyevd, "status"), second(kDsyevj, "info");
  expect_eigenpairs(a_, solve(a_));
}

}  // namespace
}  // namespace deadray::kernels
