#include "kernels/operations/directional_variance.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/gpu/device_rows.h"

namespace deadray::kernels {
namespace {

using namespace deadray::testing;
constexpr double kUnit = 0x1p-53;

class DirectionalVarianceGpuTest
    : public ::testing::TestWithParam<std::tuple<NormType, ElementType>> {};

std::vector<double> unit_directions(std::int64_t count, std::int64_t hidden_size) {
  const std::vector<float> values = normals(11, count * hidden_size);
  std::vector<double> directions(values.begin(), values.end());
  for (std::int64_t k = 0; k < count; ++k) {
    double square = 0.0;
    for (std::int64_t i = 0; i < hidden_size; ++i)
      square += std::pow(directions[static_cast<std::size_t>(k * hidden_size + i)], 2);
    for (std::int64_t i = 0; i < hidden_size; ++i)
      directions[static_cast<std::size_t>(k * hidden_size + i)] /= std::sqrt(square);
  }
  return directions;
}

std::vector<RunningMoments> measure_on_device(const TestRows& x, const TestNorm& norm,
                                              const std::vector<double>& directions,
                                              int pieces = 1) {
  const std::int64_t n_directions = static_cast<std::int64_t>(directions.size()) / x.hidden_size;
  DeviceRows rows(x);
  DeviceNorm parameters(norm);
  DeviceArray<double> v(directions);
  DeviceArray<RunningMoments> moments(
      std::vector<RunningMoments>(static_cast<std::size_t>(n_directions)));
  DeviceArray<unsigned char> weights(
      operations().directional_weights_bytes(n_directions, x.hidden_size)),
      workspace(operations().directional_variance_workspace(n_directions));
  operations().prepare_directional_weights(parameters.arguments(), x.type, x.hidden_size, v.data(),
                                           n_directions, weights.data(), nullptr);
  for (int p = 0; p < pieces; ++p) {
    const std::int64_t first = x.n_tokens * p / pieces, last = x.n_tokens * (p + 1) / pieces;
    operations().directional_variance(rows.view().slice(first, last - first), norm.type, norm.eps,
                                      weights.data(), n_directions, moments.data(),
                                      workspace.data(), nullptr);
  }
  return moments.download();
}

void expect_agreement(const TestRows& x, const TestNorm& norm, std::int64_t n_directions,
                      int pieces = 1) {
  const std::vector<double> v = unit_directions(n_directions, x.hidden_size);
  std::vector<RunningMoments> want(static_cast<std::size_t>(n_directions));
  directional_variance(x.view(), norm.arguments(), v.data(), n_directions, want.data());
  const std::vector<RunningMoments> got = measure_on_device(x, norm, v, pieces);
  // The largest sum over a row of (|gamma z| + |offset|)^2. Since |v| = 1, sum |v_i h_i| stays
  // below its root.
  double square = 0.0;
  const std::vector<double> bare = recompute(x, norm.without_offset());
  for (std::int64_t t = 0; t < x.n_tokens; ++t) {
    double sum = 0.0;
    for (std::int64_t i = 0; i < x.hidden_size; ++i)
      sum += std::pow(std::fabs(bare[static_cast<std::size_t>(t * x.hidden_size + i)]) +
                          std::fabs(norm.offset(i)),
                      2);
    square = std::max(square, sum);
  }
  for (std::size_t k = 0; k < want.size(); ++k) {
    // On each side a projection errs by (n/2 + 16) u of sum |v_i h_i|, to which the merge of N adds
    // N u: together e. A side's variance errs by 2 sqrt(variance) e + e^2.
    const double e =
        (static_cast<double>(x.hidden_size) / 2 + 16 + static_cast<double>(x.n_tokens)) * kUnit *
        std::sqrt(square);
    EXPECT_EQ(got[k].count, want[k].count);
    EXPECT_NEAR(got[k].mean, want[k].mean, 2 * e)
        << x.n_tokens << " x " << x.hidden_size << " direction " << k << " of " << n_directions;
    EXPECT_NEAR(got[k].variance(), want[k].variance(),
                4 * std::sqrt(want[k].variance()) * e + 2 * e * e)
        << x.n_tokens << " x " << x.hidden_size << " direction " << k << " of " << n_directions;
  }
}

/// The emulation takes a minute for what a device does at once.
std::vector<std::int64_t> counts(std::vector<std::int64_t> on_a_device,
                                 std::vector<std::int64_t> small) {
  return small_shapes() ? small : on_a_device;
}

TEST_P(DirectionalVarianceGpuTest, AgreesWithTheCpu) {
  const auto [norm_type, element_type] = GetParam();
  for (const auto& [n_tokens, hidden_size] : shapes()) {
    for (const std::int64_t n_directions : counts({1, 2, 3, 8, 29}, {1, 3, 9})) {
      if (n_tokens * hidden_size * n_directions > (1LL << 30))
        continue;  // minutes of the CPU's time
      expect_agreement(gaussian_rows(n_tokens, hidden_size, element_type, 1.0, 0.5),
                       random_norm(norm_type, hidden_size, 1e-5), n_directions);
    }
  }
}

// 2048, 4096 and 8192 are the widest rows that a block holds for eight directions, for four and for
// two; wider ones, and those that begin anywhere, are read with four again.
TEST_P(DirectionalVarianceGpuTest, AgreesOnTheWidestRowsHeldAndBeyond) {
  const auto [norm_type, element_type] = GetParam();
  for (const std::int64_t hidden_size : {2048, 2056, 4096, 4104, 8192, 8200}) {
    for (const std::int64_t n_directions : counts({1, 3, 5, 8}, {1, 8}))
      expect_agreement(gaussian_rows(small_shapes() ? 3 : 9, hidden_size, element_type, 1.0, 0.5),
                       random_norm(norm_type, hidden_size, 1e-5), n_directions);
  }
  expect_agreement(gaussian_rows(3, 4104, element_type, 1.0, 0.5).with_stride(4105),
                   random_norm(norm_type, 4104, 1e-5), 5);
}

// A block finishes 16 rows at a time: fewer, as many, one more, and several times as many, with the
// last group of rows whole and in part. The emulation runs four blocks.
TEST_P(DirectionalVarianceGpuTest, AgreesWhereverABlockEnds) {
  const auto [norm_type, element_type] = GetParam();
  for (const std::int64_t n_tokens : counts({4, 15, 16, 17, 63, 64, 65, 131, 260}, {15, 65, 131}))
    for (const std::int64_t n_directions : counts({1, 2, 4, 8}, {2, 8}))
      expect_agreement(gaussian_rows(n_tokens, 72, element_type, 1.0, 0.5),
                       random_norm(norm_type, 72, 1e-5), n_directions);
}

// How often rows are read: 8, 4 and 2 directions a pass by width.
TEST(DirectionalVariancePassesGpuTest, FollowTheWidth) {
  const auto passes = [](std::int64_t hidden_size, ElementType type, std::int64_t n_directions) {
    return operations().directional_variance_passes({nullptr, type, 1, hidden_size, hidden_size},
                                                    n_directions);
  };
  for (const ElementType type : {ElementType::float32, ElementType::bfloat16}) {
    EXPECT_EQ(passes(768, type, 8), 1);
    EXPECT_EQ(passes(2048, type, 9), 2);
    EXPECT_EQ(passes(4096, type, 8), 2);
    EXPECT_EQ(passes(8192, type, 8), 4);
    EXPECT_EQ(passes(8192, type, 1), 1);
  }
}

TEST_P(DirectionalVarianceGpuTest, AgreesOnRowsApartInMemoryAndInPieces) {
  const auto [norm_type, element_type] = GetParam();
  for (const std::int64_t stride : {96, 97, 100, 104}) {
    const TestRows x = gaussian_rows(29, 96, element_type, 1.0, 0.5).with_stride(stride);
    for (const int pieces : {1, 4})
      expect_agreement(x, random_norm(norm_type, 96, 1e-5), 5, pieces);
  }
}

// Sums of FP32 rows of 4e37 leave FP32, those of 1e-38 are of numbers below its smallest normal
// one; a mean of 1000 deviations tests the centre.
TEST_P(DirectionalVarianceGpuTest, AgreesOnExtremeRows) {
  const auto [norm_type, element_type] = GetParam();
  if (norm_type == NormType::identity)
    GTEST_SKIP() << "keeps the rows' scale: the squares of 4e37 say nothing about the arithmetic";
  const TestNorm norm = random_norm(norm_type, 304, 0.0);
  for (const double scale : {1e-38, 1e-30, 1e30, 4e37})
    expect_agreement(gaussian_rows(7, 304, element_type, scale, 0.5), norm, 3);
  TestRows outlier = gaussian_rows(7, 304, element_type, 1.0, 0.0);
  for (std::int64_t t = 0; t < 7; ++t) outlier.set(t, 17, 3000.0);
  expect_agreement(outlier, random_norm(norm_type, 304, 1e-5), 3);
  TestRows equal(element_type, 7, 304, 304);
  for (std::int64_t t = 0; t < 7; ++t)
    for (std::int64_t i = 0; i < 304; ++i) equal.set(t, i, 0.37 * static_cast<double>(t));
  expect_agreement(equal, random_norm(norm_type, 304, 1e-5), 3);
}

TEST_P(DirectionalVarianceGpuTest, NotANumberShows) {
  const auto [norm_type, element_type] = GetParam();
  for (const double bad : {std::nan(""), HUGE_VAL}) {
    TestRows x = gaussian_rows(9, 64, element_type, 1.0, 0.0);
    x.set(5, 63, bad);
    const RunningMoments got =
        measure_on_device(x, random_norm(norm_type, 64, 1e-5), unit_directions(1, 64))[0];
    EXPECT_FALSE(std::isfinite(got.variance())) << bad;
  }
}

// <v, beta> of 1e6 is added to the mean alone: without a shift, too, the variance is that of gamma
// z.
TEST_P(DirectionalVarianceGpuTest, LargeBetaDrownsNothing) {
  const auto [norm_type, element_type] = GetParam();
  const TestRows x = gaussian_rows(60, 256, element_type, 1.0, 0.0);
  TestNorm norm = random_norm(norm_type, 256, 1e-5);
  for (double& beta : norm.beta) beta *= 1e6;
  norm.shift.assign(256, 0.0);
  const std::vector<double> v = unit_directions(1, 256);
  const RunningMoments with = measure_on_device(x, norm, v)[0],
                       without = measure_on_device(x, norm.without_offset(), v)[0];
  EXPECT_EQ(with.variance(), without.variance());
  double offset = 0.0, size = 0.0;
  for (std::size_t i = 0; i < 256; ++i)
    offset += v[i] * norm.beta[i], size += std::fabs(v[i] * norm.beta[i]);
  EXPECT_NEAR(with.mean, without.mean + offset, 256 * kUnit * size);  // a sum of 256 products
}

TEST_P(DirectionalVarianceGpuTest, RepeatsBitForBit) {
  const auto [norm_type, element_type] = GetParam();
  const TestRows x = gaussian_rows(67, 129, element_type, 1.0, 0.5);
  const TestNorm norm = random_norm(norm_type, 129, 1e-5);
  const std::vector<double> v = unit_directions(5, 129);
  const std::vector<RunningMoments> a = measure_on_device(x, norm, v, 3),
                                    b = measure_on_device(x, norm, v, 3);
  for (std::size_t k = 0; k < a.size(); ++k) EXPECT_EQ(a[k].squares, b[k].squares) << k;
}

// |<v*, h>| is the rounding of two sums of n numbers of order 1, over |1/gamma|: its square stays
// below (n u)^2.
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
    const double variance = measure_on_device(x, norm, v)[0].variance(),
                 bound = static_cast<double>(hidden_size) * kUnit;
    if (norm_type == NormType::layernorm) {
      EXPECT_LT(variance, bound * bound) << hidden_size;
    } else {
      EXPECT_GT(variance, 1e-3) << hidden_size;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, DirectionalVarianceGpuTest,
    ::testing::Combine(
        ::testing::Values(NormType::layernorm, NormType::rmsnorm, NormType::identity),
        ::testing::Values(ElementType::float32, ElementType::float64, ElementType::bfloat16)));

}  // namespace
}  // namespace deadray::kernels
