#include "verify/base/forward_mode.h"

#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include "verify/base/tensors.h"

namespace deadray {
namespace {

constexpr std::int64_t kDirections = 3;

at::Tensor normals(at::IntArrayRef shape, std::uint64_t seed) {
  return at::randn(shape, at::make_generator<at::CPUGeneratorImpl>(seed), fp64());
}

/// f and its derivatives at x along [K, ...] tangents.
template <typename F>
Dual differentiate(const F& f, const at::Tensor& x, const at::Tensor& tangents) {
  const ForwardMode mode(tangents.size(0));
  return mode.lower(f(mode.lift({x, tangents})));
}

/// Compares with (f(x + t v) - f(x - t v)) / 2t. Its error: t^2 of the third derivative, and u / t
/// of rounding: 1e-8 for t = 1e-5 and values of order 1, ten times that allowed.
template <typename F>
void expect_central_differences(const F& f, const at::Tensor& x, std::uint64_t seed) {
  std::vector<std::int64_t> shape = x.sizes().vec();
  shape.insert(shape.begin(), kDirections);
  const at::Tensor v = normals(shape, seed);
  const Dual dual = differentiate(f, x, v);
  EXPECT_TRUE(dual.value.equal(f(x)));
  ASSERT_EQ(dual.tangents.size(0), kDirections);
  constexpr double t = 1e-5;
  for (std::int64_t k = 0; k < kDirections; ++k) {
    const at::Tensor difference = (f(x + t * v[k]) - f(x - t * v[k])) / (2 * t);
    EXPECT_LT((dual.tangents[k] - difference).abs().max().item<double>(), 1e-7)
        << "direction " << k;
  }
}

TEST(ForwardModeTest, FollowsLayerNormActivationsAndSoftmax) {
  const at::Tensor x = normals({2, 5, 8}, 1), gamma = normals({8}, 2), beta = normals({8}, 3);
  expect_central_differences(
      [&](const at::Tensor& y) { return at::layer_norm(y, {8}, gamma, beta, 1e-5); }, x, 4);
  expect_central_differences([](const at::Tensor& y) { return at::gelu(y, "tanh"); }, x, 5);
  expect_central_differences([](const at::Tensor& y) { return at::silu(y) * at::sigmoid(y); }, x,
                             6);
  expect_central_differences([](const at::Tensor& y) { return at::softmax(y, -1); }, x, 7);
}

TEST(ForwardModeTest, FollowsAttention) {
  const at::Tensor x = normals({2, 3, 5, 8}, 8);
  expect_central_differences(
      [](const at::Tensor& y) {
        return std::get<0>(
            at::_scaled_dot_product_attention_math(y, y * 0.7, y.tanh(), {}, 0.0, true, {}, 0.3));
      },
      x, 9);
}

TEST(ForwardModeTest, AddsTangentsThatBeginOnTheWay) {
  const at::Tensor x = normals({4, 6}, 10), w = normals({6, 6}, 11),
                   zero = at::zeros({4, 6}, fp64());
  const at::Tensor added = normals({kDirections, 4, 6}, 12), product = at::linear(x, w);
  Dual dual;
  {
    const ForwardMode mode(kDirections);
    dual = mode.lower(at::linear(mode.lift({x, {}}), w) + mode.lift({zero, added}));
  }
  EXPECT_TRUE(dual.tangents.equal(added));
  EXPECT_TRUE(dual.value.equal(product));
}

TEST(ForwardModeTest, KnowsWhatDependsOnNoDirection) {
  const at::Tensor x = normals({4, 6}, 13);
  const ForwardMode mode(kDirections);
  EXPECT_FALSE(mode.lower(mode.lift({x, {}}) * 2.0).tangents.defined());
  EXPECT_FALSE(mode.lower(x).tangents.defined());
  EXPECT_FALSE(mode.lower({}).value.defined());
}

TEST(ForwardModeTest, LeavesPlainTensorsPlainDuringAPause) {
  const at::Tensor x = normals({4, 6}, 14), v = normals({kDirections, 4, 6}, 15);
  const ForwardMode mode(kDirections);
  at::Tensor sum;
  {
    const ForwardMode::Pause plain;
    sum = x + x;
  }
  const Dual dual = mode.lower(mode.lift({sum, v}) * 3.0);  // a wrapped sum would fail here
  EXPECT_TRUE(dual.tangents.equal(v * 3.0));
  EXPECT_EQ(ForwardMode::current(), &mode);
}

TEST(ForwardModeTest, IsGoneAfterAnException) {
  const at::Tensor x = normals({4, 6}, 17), v = normals({kDirections, 4, 6}, 18);
  EXPECT_ANY_THROW(differentiate([](const at::Tensor& y) { return at::matmul(y, y); }, x, v))
      << "[4, 6] times [4, 6]";
  EXPECT_EQ(ForwardMode::current(), nullptr);
  expect_central_differences([](const at::Tensor& y) { return y * y; }, x, 19);
}

TEST(ForwardModeTest, IsGoneAfterItsLife) {
  {
    const ForwardMode mode(1);
  }
  EXPECT_EQ(ForwardMode::current(), nullptr);
  const at::Tensor x = normals({3}, 16);
  EXPECT_TRUE((x + 0.0).equal(x));
}

}  // namespace
}  // namespace deadray
