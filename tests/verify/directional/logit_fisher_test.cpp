#include "verify/directional/logit_fisher.h"

#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include "tests/verify/forward/model_fixture.h"
#include "verify/base/tensors.h"

namespace deadray {
namespace {

using test::kModels;

at::Tensor normals(at::IntArrayRef shape, std::uint64_t seed) {
  return at::randn(shape, at::make_generator<at::CPUGeneratorImpl>(seed), fp64());
}

/// Mean over rows of the variance of J under the softmax of the logits, from whole matrices: z [n,
/// v], j [K, n, v].
at::Tensor dense_fisher(const at::Tensor& z, const at::Tensor& j) {
  const at::Tensor p = at::softmax(z, -1), mean = (p * j).sum(-1, true);
  return (p * (j - mean).square()).sum(-1).mean(-1);
}

/// Logits of rows h of a decoder, and derivatives: everything at once, caps by their own
/// derivative.
struct Dense {
  at::Tensor z, slope;
  Dense(const Decoder& decoder, const at::Tensor& h) {
    at::Tensor y = at::linear(h, decoder.weight);
    if (decoder.bias.defined()) y = y + decoder.bias;
    y = y * decoder.scale;
    slope = at::full_like(y, decoder.scale);
    z = y;
    if (decoder.soft_cap == 0.0) return;
    z = decoder.soft_cap * at::tanh(y / decoder.soft_cap);
    slope = slope * (1.0 - (z / decoder.soft_cap).square());
  }
};

class LogitFisherTest : public testing::TestWithParam<const char*> {};

// Heads with a bias, a scale, a cap, tied and not. 1e-12: sums over a vocabulary of a hundred
// entries, and 1 - tanh^2 beside 1 / cosh^2.
TEST_P(LogitFisherTest, EqualsWhatWholeMatricesGive) {
  const auto model = prepare_model(kModels / GetParam(), {});
  const Decoder decoder = load_decoder(model->architecture, *model->weights, at::kDouble);
  const at::Tensor h = normals({7, decoder.weight.size(1)}, 1),
                   tangents = normals({3, 7, decoder.weight.size(1)}, 2);
  const Dense dense(decoder, h);
  const at::Tensor wanted =
      dense_fisher(dense.z, at::matmul(tangents, decoder.weight.t()) * dense.slope);
  // In one tile of the vocabulary and in tiles of 16 entries, the fewest.
  for (const std::int64_t tile_bytes : {std::int64_t{1} << 20, std::int64_t{1}})
    EXPECT_LT(test::relative_error(
                  output_fisher(model->architecture, *model->weights, {h, tangents}, 3, tile_bytes),
                  wanted),
              1e-12);
}

// The two ways to the head's own directions: derivatives u (<r, h> + s) of the logits, and the
// closed form by the kernel.
TEST_P(LogitFisherTest, TheClosedFormIsTheVarianceOfTheDirectionUnderTheSoftmax) {
  const auto model = prepare_model(kModels / GetParam(), {});
  const Decoder decoder = load_decoder(model->architecture, *model->weights, at::kDouble);
  const at::Tensor h = normals({7, decoder.weight.size(1)}, 3),
                   u = normals({2, decoder.weight.size(0)}, 4);
  const Dense dense(decoder, h);
  const at::Tensor wanted = dense_fisher(dense.z, u.unsqueeze(1) * dense.slope);
  EXPECT_LT(test::relative_error(cpu_backend().softmax_variance(h, decoder, u).mean(0), wanted),
            1e-12);
}

INSTANTIATE_TEST_SUITE_P(Heads, LogitFisherTest,
                         testing::Values("gpt2-tied", "gpt2-untied", "phi-plain", "cohere-plain",
                                         "gemma2", "bert-masked-lm"),
                         [](const auto& instance) {
                           std::string name = instance.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// Every logit moves alike: the softmax does not.
TEST(LogitFisherSoftmaxTest, AConstantDerivativeLeavesNothing) {
  const auto model = prepare_model(kModels / "gpt2-untied", {});
  const Decoder decoder = load_decoder(model->architecture, *model->weights, at::kDouble);
  const at::Tensor h = normals({5, decoder.weight.size(1)}, 5),
                   u = at::ones({1, decoder.weight.size(0)}, fp64());
  EXPECT_LT(cpu_backend().softmax_variance(h, decoder, u).max().item<double>(), 1e-30);
}

TEST(LogitFisherSoftmaxTest, DirectionsThatReachNoTokenHaveNone) {
  const auto model = prepare_model(kModels / "gpt2-untied", {});
  EXPECT_TRUE(output_fisher(model->architecture, *model->weights, {normals({5, 17}, 8), {}}, 3)
                  .equal(at::zeros({3}, fp64())));
}

TEST(LogitFisherGaussianTest, AModelWithoutAHeadHasTheGaussianForm) {
  const auto model = prepare_model(kModels / "bert-pooler", {});
  const at::Tensor h = normals({5, 24}, 6), tangents = normals({2, 5, 24}, 7);
  // FP64 sums of 24 squares and of 5 tokens, both ways: (24 + 5) 2^-53 each.
  EXPECT_LT(
      test::relative_error(output_fisher(model->architecture, *model->weights, {h, tangents}, 2),
                           tangents.square().sum(-1).mean(-1)),
      1e-14);
}

}  // namespace
}  // namespace deadray
