#include "kernels/operations/ceilings.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/gpu/device.h"
#include "tests/kernels/operations/norm_reference.h"

namespace deadray::kernels {
namespace {

using namespace deadray::testing;

constexpr std::int64_t kM = 5, kN = 7, kK = 12;

/// Row i of a with row j of b.
long double dot(const std::vector<double>& a, const std::vector<double>& b, std::int64_t i,
                std::int64_t j) {
  long double sum = 0;
  for (std::int64_t l = 0; l < kK; ++l)
    sum += static_cast<long double>(a[static_cast<std::size_t>(i * kK + l)]) *
           b[static_cast<std::size_t>(j * kK + l)];
  return sum;
}

TEST(CeilingsGpuTest, DgemmIsAProductOfRows) {
  const std::vector<float> x = normals(1, kM * kK), y = normals(2, kN * kK);
  const std::vector<double> a(x.begin(), x.end()), b(y.begin(), y.end());
  DeviceContext context;
  DeviceArray<double> a_there(a), b_there(b), c_there(kM * kN);
  operations().dgemm(context, kM, kN, kK, a_there.data(), b_there.data(), c_there.data(), nullptr);
  const std::vector<double> c = c_there.download();
  for (std::int64_t i = 0; i < kM; ++i)
    for (std::int64_t j = 0; j < kN; ++j)  // k u of a sum of k products, none beyond 45
      EXPECT_NEAR(c[static_cast<std::size_t>(i * kN + j)], static_cast<double>(dot(a, b, i, j)),
                  kK * 0x1p-53 * kK * 45)
          << i << ", " << j;
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
      const auto want = static_cast<double>(
          dot(a, b, i, j));  // the result's rounding, 2^-9 relative, and FP32's of the sum
      EXPECT_NEAR(widen(c[static_cast<std::size_t>(i * kN + j)]), want,
                  std::abs(want) * 0x1p-8 + kK * 0x1p-24 * kK * 45)
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
}

}  // namespace
}  // namespace deadray::kernels
