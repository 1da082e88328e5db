#include "kernels/operations/ceilings.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/gpu/device.h"
#include "tests/kernels/operations/norm_reference.h"

namespace deadray::kernels {
namespace {

using namespace deadray::testing;

constexpr std::int64_t kM = 5, kN = 7, kK = 12;

/// A dot product and the sum of its terms' magnitudes.
struct Dot {
  double value = 0.0, magnitude = 0.0;
};
/// Row i of a with row j of b.
Dot dot(const std::vector<double>& a, const std::vector<double>& b, std::int64_t i,
        std::int64_t j) {
  long double sum = 0, magnitude = 0;
  for (std::int64_t l = 0; l < kK; ++l) {
    const long double term = static_cast<long double>(a[static_cast<std::size_t>(i * kK + l)]) *
                             b[static_cast<std::size_t>(j * kK + l)];
    sum += term, magnitude += std::fabs(term);
  }
  return {static_cast<double>(sum), static_cast<double>(magnitude)};
}

TEST(CeilingsGpuTest, DgemmIsAProductOfRows) {
  const std::vector<float> x = normals(1, kM * kK), y = normals(2, kN * kK);
  const std::vector<double> a(x.begin(), x.end()), b(y.begin(), y.end());
  DeviceContext context;
  DeviceArray<double> a_there(a), b_there(b), c_there(kM * kN);
  operations().dgemm(context, kM, kN, kK, a_there.data(), b_there.data(), c_there.data(), nullptr);
  const std::vector<double> c = c_there.download();
  for (std::int64_t i = 0; i < kM; ++i) {
    for (std::int64_t j = 0; j < kN; ++j) {
      const Dot want = dot(a, b, i, j);  // k u of the magnitudes, in any order of summation
      EXPECT_NEAR(c[static_cast<std::size_t>(i * kN + j)], want.value,
                  kK * 0x1p-53 * want.magnitude)
          << i << ", " << j;
    }
  }
}

TEST(CeilingsGpuTest, Bf16GemmIsAProductOfRows) {
  std::vector<BFloat16> x(kM * kK), y(kN * kK);
  std::vector<double> a, b;
  const auto cut = [](const std::vector<float>& from, std::vector<BFloat16>& to,
                      std::vector<double>& exact) {
    for (std::size_t i = 0; i < to.size(); ++i) {
      std::uint32_t bits;
      std::memcpy(&bits, &from[i], sizeof bits);
      to[i] = {static_cast<std::uint16_t>(bits >> 16)};
      exact.push_back(widen(to[i]));
    }
  };
  cut(normals(1, kM * kK), x, a);
  cut(normals(2, kN * kK), y, b);
  DeviceContext context;
  DeviceArray<BFloat16> a_there(x), b_there(y), c_there(kM * kN);
  operations().bf16_gemm(context, kM, kN, kK, a_there.data(), b_there.data(), c_there.data(),
                         nullptr);
  const std::vector<BFloat16> c = c_there.download();
  for (std::int64_t i = 0; i < kM; ++i) {
    for (std::int64_t j = 0; j < kN; ++j) {
      // FP32's rounding of the sum, k u of the magnitudes, where tensor cores cut off 2 k u, and
      // the result's to bfloat16, 2^-8.
      const Dot want = dot(a, b, i, j);
      const double sum_error = kK * 0x1p-23 * want.magnitude;
      EXPECT_NEAR(widen(c[static_cast<std::size_t>(i * kN + j)]), want.value,
                  sum_error + 0x1p-8 * (std::abs(want.value) + sum_error))
          << i << ", " << j;
    }
  }
}

// The clock of a stream: later marks are not earlier, and work takes time.
TEST(CeilingsGpuTest, EventsTellTheTimeBetweenThem) {
  const Event start = operations().create_event(), end = operations().create_event();
  constexpr std::size_t kBytes = 64 << 20;
  DeviceArray<unsigned char> from(kBytes), to(kBytes);
  operations().clear(from.data(), kBytes, nullptr);
  operations().record_event(start, nullptr);
  operations().copy(to.data(), from.data(), kBytes, nullptr);
  operations().record_event(end, nullptr);
  const double seconds = operations().seconds_between(start, end);
  EXPECT_GT(seconds, kBytes / 1e14);  // no memory copies 100 TB/s
  EXPECT_LT(seconds, 10.0);
  operations().destroy_event(start);
  operations().destroy_event(end);
}

TEST(CeilingsGpuTest, VersionsAreThoseOfTheLibrariesInUse) {
  const cuda::LibraryVersions versions = operations().library_versions();
  EXPECT_GE(versions.runtime, 12000);
  EXPECT_FALSE(versions.cublas.empty());
  EXPECT_FALSE(versions.cusolver.empty());
  EXPECT_NE(versions.cublas_file.find(emulated() ? "simt" : "libcublas"), std::string::npos)
      << versions.cublas_file;
  EXPECT_NE(versions.cusolver_file.find(emulated() ? "simt" : "libcusolver"), std::string::npos)
      << versions.cusolver_file;
}

}  // namespace
}  // namespace deadray::kernels
