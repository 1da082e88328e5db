#include "kernels/operations/norm_recompute.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/gpu/device_rows.h"

namespace deadray::kernels {
namespace {

using namespace deadray::testing;
constexpr double kUnit = 0x1p-53;

class NormRecomputeGpuTest : public ::testing::TestWithParam<std::tuple<NormType, ElementType>> {};

std::vector<double> recompute_on_device(const TestRows& x, const TestNorm& norm) {
  DeviceRows rows(x);
  DeviceNorm parameters(norm);
  DeviceArray<double> out(static_cast<std::size_t>(x.n_tokens * x.hidden_size));
  operations().norm_recompute(rows.view(), parameters.arguments(), out.data(), nullptr);
  return out.download();
}

/// Both sides carry the statistics' rounding: sums of n terms, in any order, keep it within n/2 +
/// 16 roundings of |gamma z|, and a few of the offset.
void expect_agreement(const TestRows& x, const TestNorm& norm) {
  const std::vector<double> got = recompute_on_device(x, norm), want = recompute(x, norm),
                            bare = recompute(x, norm.without_offset());
  for (std::size_t j = 0; j < want.size(); ++j) {
    const double size = std::fabs(bare[j]) + std::fabs(want[j] - bare[j]);
    ASSERT_NEAR(got[j], want[j],
                (static_cast<double>(x.hidden_size) + 32) * kUnit *
                    (size + std::fabs(norm.gamma[j % norm.gamma.size()])))
        << "element " << j << " of [" << x.n_tokens << ", " << x.hidden_size << "]";
  }
}

TEST_P(NormRecomputeGpuTest, AgreesWithTheCpu) {
  const auto [norm_type, element_type] = GetParam();
  for (const auto& [n_tokens, hidden_size] : shapes()) {
    expect_agreement(gaussian_rows(n_tokens, hidden_size, element_type, 1.0, 0.5),
                     random_norm(norm_type, hidden_size, 1e-5));
  }
}

TEST_P(NormRecomputeGpuTest, AgreesOnRowsApartInMemory) {
  const auto [norm_type, element_type] = GetParam();
  expect_agreement(gaussian_rows(9, 100, element_type, 1.0, 0.5).with_stride(117),
                   random_norm(norm_type, 100, 1e-5));
}

TEST_P(NormRecomputeGpuTest, AgreesOnExtremeRows) {
  const auto [norm_type, element_type] = GetParam();
  for (const double scale : {1e-30, 1e-38, 1e30}) {
    expect_agreement(gaussian_rows(5, 300, element_type, scale, 0.1),
                     random_norm(norm_type, 300, 0.0));
  }
  // One channel as trained models have it.
  TestRows outlier = gaussian_rows(5, 300, element_type, 1.0, 0.0);
  for (std::int64_t t = 0; t < 5; ++t) outlier.set(t, 17, 3000.0);
  expect_agreement(outlier, random_norm(norm_type, 300, 1e-5));
  TestRows equal(element_type, 4, 64, 64);
  for (std::int64_t t = 0; t < 4; ++t)
    for (std::int64_t i = 0; i < 64; ++i) equal.set(t, i, 0.37 * static_cast<double>(t));
  expect_agreement(equal, random_norm(norm_type, 64, 1e-5));
}

// The two kernels share their arithmetic but for the last conversion.
TEST_P(NormRecomputeGpuTest, Float32IsTheFloat64OutputRoundedOnce) {
  const auto [norm_type, element_type] = GetParam();
  for (const auto& [n_tokens, hidden_size] : {Shape{5, 64}, {3, 257}, {2, 768}}) {
    const TestRows x = gaussian_rows(n_tokens, hidden_size, element_type, 1.0, 0.5);
    const TestNorm norm = random_norm(norm_type, hidden_size, 1e-5);
    DeviceRows rows(x);
    DeviceNorm parameters(norm);
    DeviceArray<float> out(static_cast<std::size_t>(n_tokens * hidden_size));
    operations().norm_recompute_float32(rows.view(), parameters.arguments(), out.data(), nullptr);
    const std::vector<double> want = recompute_on_device(x, norm);
    EXPECT_EQ(out.download(), std::vector<float>(want.begin(), want.end())) << hidden_size;
  }
}

// Pairs of elements need an even stride, rows, parameters and an output where pairs may begin; the
// rest goes element by element.
TEST_P(NormRecomputeGpuTest, AgreesWhereverRowsAndParametersBegin) {
  const auto [norm_type, element_type] = GetParam();
  const TestRows x = gaussian_rows(6, 96, element_type, 1.0, 0.5);
  const TestNorm norm = random_norm(norm_type, 96, 1e-5);
  for (const std::int64_t stride : {96, 97, 98, 104}) expect_agreement(x.with_stride(stride), norm);
  DeviceRows rows(x);
  // Parameters and output one FP64 away from a multiple of 16 bytes.
  std::vector<double> ahead(1, 1e300);
  for (const auto* parameter : {&norm.gamma, &norm.beta, &norm.shift})
    ahead.insert(ahead.end(), parameter->begin(), parameter->end());
  DeviceArray<double> parameters(ahead), out(std::vector<double>(1 + 6 * 96, 0.0));
  double* const gamma = parameters.data() + 1;
  operations().norm_recompute(rows.view(), {norm.type, gamma, gamma + 96, gamma + 192, norm.eps},
                              out.data() + 1, nullptr);
  const std::vector<double> got = out.download(), want = recompute(x, norm);
  // As in expect_agreement; |gamma z|, |beta| and |shift| stay below 16 here.
  for (std::size_t j = 0; j < want.size(); ++j)
    ASSERT_NEAR(got[j + 1], want[j], (96 + 32) * kUnit * 32) << j;
}

INSTANTIATE_TEST_SUITE_P(
    All, NormRecomputeGpuTest,
    ::testing::Combine(
        ::testing::Values(NormType::layernorm, NormType::rmsnorm, NormType::identity),
        ::testing::Values(ElementType::float32, ElementType::float64, ElementType::bfloat16)));

}  // namespace
}  // namespace deadray::kernels
