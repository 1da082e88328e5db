#include "kernels/directional_variance.h"

#include <cmath>

#include "tests/gpu/device_rows.h"

namespace deadray::kernels {
namespace {

using namespace deadray::testing;
constexpr double kUnit = 0x1p-53;

class DirectionalVarianceGpuTest : public DeviceTest, public ::testing::WithParamInterface<std::tuple<NormType, ElementType>> {};

std::vector<double> unit_directions(std::int64_t count, std::int64_t hidden_size) {
  const std::vector<float> values = normals(11, count * hidden_size);
  std::vector<double> directions(values.begin(), values.end());
  for (std::int64_t k = 0; k < count; ++k) {
    double square = 0.0;
    for (std::int64_t i = 0; i < hidden_size; ++i) square += std::pow(directions[static_cast<std::size_t>(k * hidden_size + i)], 2);
    for (std::int64_t i = 0; i < hidden_size; ++i) directions[static_cast<std::size_t>(k * hidden_size + i)] /= std::sqrt(square);
  }
  return directions;
}

std::vector<RunningMoments> measure_on_device(const TestRows& x, const TestNorm& norm, const std::vector<double>& directions,
                                              int pieces = 1) {
  const std::int64_t n_directions = static_cast<std::int64_t>(directions.size()) / x.hidden_size;
  DeviceRows rows(x);
  DeviceNorm parameters(norm);
  DeviceArray<double> v(directions);
  DeviceArray<RunningMoments> moments(std::vector<RunningMoments>(static_cast<std::size_t>(n_directions)));
  DeviceArray<unsigned char> workspace(operations().directional_variance_workspace(n_directions, x.hidden_size));
  for (int p = 0; p < pieces; ++p) {
    const std::int64_t first = x.n_tokens * p / pieces, last = x.n_tokens * (p + 1) / pieces;
    operations().directional_variance(rows.view().slice(first, last - first), parameters.arguments(), v.data(), n_directions,
                                      moments.data(), workspace.data(), nullptr);
  }
  return moments.download();
}

TEST_P(DirectionalVarianceGpuTest, AgreesWithTheCpu) {
  const auto [norm_type, element_type] = GetParam();
  for (const auto& [n_tokens, hidden_size] : shapes()) {
    for (const std::int64_t n_directions : {1, 3, 32}) {
      const TestRows x = gaussian_rows(n_tokens, hidden_size, element_type, 1.0, 0.5);
      const TestNorm norm = random_norm(norm_type, hidden_size, 1e-5);
      const std::vector<double> v = unit_directions(n_directions, hidden_size);
      std::vector<RunningMoments> want(static_cast<std::size_t>(n_directions));
      directional_variance(x.view(), norm.arguments(), v.data(), n_directions, want.data());
      const std::vector<RunningMoments> got = measure_on_device(x, norm, v);
      for (std::size_t k = 0; k < want.size(); ++k) {
        // A projection's rounding is (n/2 + 16) u of sum |v_i h_i| <= |h|, and the merge adds N u: one such error a side.
        const double size = std::sqrt(want[k].variance() + want[k].mean * want[k].mean) + 3 * std::sqrt(static_cast<double>(hidden_size));
        const double e = (static_cast<double>(hidden_size) + 32 + static_cast<double>(n_tokens)) * kUnit * size;
        EXPECT_EQ(got[k].count, want[k].count);
        EXPECT_NEAR(got[k].mean, want[k].mean, 2 * e) << n_tokens << " x " << hidden_size << " direction " << k;
        EXPECT_NEAR(got[k].variance(), want[k].variance(), 4 * std::sqrt(want[k].variance()) * e + 4 * e * e)
            << n_tokens << " x " << hidden_size;
      }
    }
  }
}

TEST_P(DirectionalVarianceGpuTest, RepeatsBitForBit) {
  const auto [norm_type, element_type] = GetParam();
  const TestRows x = gaussian_rows(67, 129, element_type, 1.0, 0.5);
  const TestNorm norm = random_norm(norm_type, 129, 1e-5);
  const std::vector<double> v = unit_directions(5, 129);
  const std::vector<RunningMoments> a = measure_on_device(x, norm, v, 3), b = measure_on_device(x, norm, v, 3);
  for (std::size_t k = 0; k < a.size(); ++k) EXPECT_EQ(a[k].squares, b[k].squares) << k;
}

// |<v*, h>| is the rounding of two sums of n numbers of order 1, over |1/gamma|: its square stays below (n u)^2.
TEST_P(DirectionalVarianceGpuTest, InverseGammaIsDeadUnderLayerNormAlone) {
  const auto [norm_type, element_type] = GetParam();
  for (const std::int64_t hidden_size : {64, 257, 768}) {
    const TestRows x = gaussian_rows(40, hidden_size, element_type, 1.0, 0.2);
    TestNorm norm = random_norm(norm_type, hidden_size, 1e-5);
    norm.shift = norm.beta;
    std::vector<double> v;
    double square = 0.0;
    for (const double gamma : norm.gamma) v.push_back(1 / gamma), square += 1 / (gamma * gamma);
    for (double& component : v) component /= std::sqrt(square);
    const double variance = measure_on_device(x, norm, v)[0].variance(), bound = static_cast<double>(hidden_size) * kUnit;
    if (norm_type == NormType::layernorm) {
      EXPECT_LT(variance, bound * bound) << hidden_size;
    } else {
      EXPECT_GT(variance, 1e-3) << hidden_size;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, DirectionalVarianceGpuTest,
                         ::testing::Combine(::testing::Values(NormType::layernorm, NormType::rmsnorm),
                                            ::testing::Values(ElementType::float32, ElementType::float64, ElementType::bfloat16)));

}  // namespace
}  // namespace deadray::kernels
