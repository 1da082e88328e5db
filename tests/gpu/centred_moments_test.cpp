#include "kernels/operations/centred_moments.h"

#include <gtest/gtest.h>

#include "tests/gpu/device_rows.h"
#include "tests/kernels/operations/moments_reference.h"

namespace deadray::kernels {
namespace {

using namespace deadray::testing;

class CentredMomentsGpuTest : public ::testing::TestWithParam<std::tuple<NormType, ElementType>> {
 protected:
  TestNorm norm(std::int64_t hidden_size) const {
    return random_norm(std::get<0>(GetParam()), hidden_size, 1e-5);
  }
  TestRows rows(std::int64_t n_tokens, std::int64_t hidden_size) const {
    return gaussian_rows(n_tokens, hidden_size, std::get<1>(GetParam()), 1.0, 0.3);
  }
};

struct Call {
  std::int64_t tile_rows;  ///< whose room the workspace has
  int pieces = 1;
  bool finished = true, centred = true;
};
Moments measure_on_device(const TestRows& x, const TestNorm& norm, const Call& call) {
  const std::int64_t n = x.hidden_size;
  DeviceContext context;
  DeviceRows rows(x);
  DeviceNorm parameters(norm);
  const Moments zeros = empty_moments(n);
  DeviceArray<double> sums(zeros.sums), gram(zeros.gram), mean(zeros.mean.size());
  DeviceArray<unsigned char> workspace(operations().add_moments_workspace(call.tile_rows, n));
  for (int p = 0; p < call.pieces; ++p) {
    const std::int64_t first = x.n_tokens * p / call.pieces,
                       last = x.n_tokens * (p + 1) / call.pieces;
    operations().add_moments(context, rows.view().slice(first, last - first),
                             parameters.arguments(), sums.data(), gram.data(), workspace.data(),
                             operations().add_moments_workspace(call.tile_rows, n), nullptr);
  }
  Moments result{sums.download(), gram.download(), {}};
  if (!call.finished) return result;
  operations().finish_moments(x.n_tokens, n, call.centred, sums.data(), mean.data(), gram.data(),
                              nullptr);
  return {sums.download(), gram.download(), mean.download()};
}

Moments measure_on_cpu(const TestRows& x, const TestNorm& norm, const Call& call) {
  Moments moments = empty_moments(x.hidden_size);
  add_moments(x.view(), norm.arguments(), moments.sums.data(), moments.gram.data());
  if (call.finished)
    finish_moments(x.n_tokens, x.hidden_size, call.centred, moments.sums.data(),
                   moments.mean.data(), moments.gram.data());
  return moments;
}

/// sum_t s_ti^2 as in moments_reference.h, from the outputs themselves.
std::vector<double> squares_of(const TestRows& x, const TestNorm& norm) {
  const std::vector<double> bare = recompute(x, norm.without_offset());
  std::vector<double> squares(static_cast<std::size_t>(x.hidden_size));
  for (std::size_t k = 0; k < bare.size(); ++k) {
    const std::size_t i = k % squares.size();
    squares[i] += std::pow(std::abs(bare[k]) + 4 * std::abs(norm.gamma[i]) +
                               2 * std::abs(norm.offset(static_cast<std::int64_t>(i))),
                           2);
  }
  return squares;
}

/// Both sides keep the bound of moments_reference.h, of which the centring adds two more; the
/// device's sums of n terms are in any order.
void expect_agreement(const TestRows& x, const TestNorm& norm, const Call& call) {
  const Moments got = measure_on_device(x, norm, call), want = measure_on_cpu(x, norm, call);
  const std::vector<double> squares = squares_of(x, norm);
  const auto n = static_cast<std::size_t>(x.hidden_size);
  const double rows = static_cast<double>(x.n_tokens),
               bound = 6 * product_bound(x.n_tokens, 2 * x.hidden_size);
  for (std::size_t j = 0; j < n; ++j) {
    ASSERT_NEAR(got.sums[j], want.sums[j], bound * std::sqrt(rows * squares[j]))
        << "sum " << j << " of [" << rows << ", " << n << "]";
    if (call.finished) {
      ASSERT_NEAR(got.mean[j], want.mean[j], bound * std::sqrt(squares[j] / rows)) << "mean " << j;
    }
    for (std::size_t i = 0; i < n; ++i) {
      ASSERT_NEAR(got.gram[j * n + i], want.gram[j * n + i],
                  bound * std::sqrt(squares[i] * squares[j]) / (call.finished ? rows : 1.0))
          << i << ", " << j << " of [" << rows << ", " << n << "]";
      if (call.finished) {
        ASSERT_EQ(got.gram[j * n + i], got.gram[i * n + j]) << i << ", " << j;
      }
    }
  }
}

std::vector<Shape> moment_shapes() {
  if (small_shapes()) return {{1, 1}, {3, 7}, {1, 64}, {65, 64}, {19, 257}};
  return {{1, 1},     {3, 7},     {1, 64},     {65, 64},   {256, 257},
          {257, 257}, {767, 768}, {1025, 768}, {33, 4096}, {3, 8192}};
}

TEST_P(CentredMomentsGpuTest, AgreesWithTheCpu) {
  for (const auto& [n_tokens, hidden_size] : moment_shapes()) {
    for (const bool centred : {true, false})
      expect_agreement(rows(n_tokens, hidden_size), norm(hidden_size),
                       {.tile_rows = n_tokens, .finished = true, .centred = centred});
  }
}

TEST_P(CentredMomentsGpuTest, TilesAndPiecesAddUpAndTheUpperTriangleIsLeftAlone) {
  for (const std::int64_t tile_rows : {1, 3, 20, 64}) {
    for (const int pieces : {1, 3}) {
      expect_agreement(rows(41, 48), norm(48), {tile_rows, pieces, false});
      expect_agreement(rows(41, 45).with_stride(53), norm(45), {tile_rows, pieces, false});
    }
  }
}

TEST_P(CentredMomentsGpuTest, RepeatsBitForBit) {
  const TestRows x = rows(67, 130);
  const Moments a = measure_on_device(x, norm(130), {20}),
                b = measure_on_device(x, norm(130), {20});
  EXPECT_EQ(a.gram, b.gram);
  EXPECT_EQ(a.mean, b.mean);
}

TEST_P(CentredMomentsGpuTest, NoRowsGiveZeros) {
  const Moments nothing = measure_on_device(rows(0, 9), norm(9), {1});
  EXPECT_EQ(nothing.gram, std::vector<double>(81));
  EXPECT_EQ(nothing.mean, std::vector<double>(9));
}

TEST_P(CentredMomentsGpuTest, WorkspaceOfLessThanARowIsRefused) {
  DeviceContext context;
  DeviceRows x(rows(2, 64));
  DeviceArray<double> sums(64), gram(64 * 64);
  DeviceArray<unsigned char> workspace(operations().add_moments_workspace(1, 64));
  NormArguments none;
  EXPECT_THROW(
      operations().add_moments(context, x.view(), none, sums.data(), gram.data(), workspace.data(),
                               operations().add_moments_workspace(1, 64) - 1, nullptr),
      CudaError);
}

// With the shift, no more than the rounding of C is left along 1/gamma; for the other norms, a part
// of the variance.
TEST_P(CentredMomentsGpuTest, InverseGammaIsDeadUnderLayerNormAlone) {
  for (const std::int64_t hidden_size : {7, 64, 150}) {
    const TestRows x = rows(200, hidden_size);
    TestNorm parameters = norm(hidden_size);
    parameters.shift = parameters.beta;
    const std::vector<double> v = inverse_gamma(parameters);
    const double variance = quadratic_form(measure_on_device(x, parameters, {200}).gram, v);
    const double rounding = quadratic_bound({{}, {}, squares_of(x, parameters)}, v, 200);
    if (parameters.type == NormType::layernorm) {
      EXPECT_LE(std::abs(variance), rounding) << hidden_size;
    } else {
      EXPECT_GT(variance, 1e6 * rounding) << hidden_size;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, CentredMomentsGpuTest,
    ::testing::Combine(
        ::testing::Values(NormType::layernorm, NormType::rmsnorm, NormType::identity),
        ::testing::Values(ElementType::float32, ElementType::float64, ElementType::bfloat16)));

}  // namespace
}  // namespace deadray::kernels
