#include "verify/plan/plan.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <string>

#include "host/architecture/architecture.h"
#include "tests/verify/forward/model_fixture.h"
#include "tests/verify/forward/small_device.h"

namespace deadray::test {
namespace {

Architecture describe(const char* config) {
  return describe_architecture(Config::parse(config, "config.json"));
}

// Counted by hand, for a token and a block: two flops a weight, then 4 x (heads x head_dim) for
// each key, half of a sequence where the attention is causal.

constexpr const char* kGpt2 = R"({"model_type": "gpt2", "n_embd": 8, "n_head": 2, "n_layer": 3,
  "n_positions": 16, "vocab_size": 11})";

TEST(ForwardFlopsTest, CountsAGpt2ByHand) {
  constexpr double kWeights = 8 * 24 + 8 * 8 + 8 * 32 + 32 * 8;  // q k v, out, the MLP's two
  constexpr double kBlock = 2 * kWeights + 4 * 8 * (10 / 2.0);
  const Architecture gpt2 = describe(kGpt2);
  EXPECT_EQ(forward_flops(gpt2, 40, 10), 3 * 40 * kBlock);
  EXPECT_EQ(forward_flops(gpt2, 40, 10, /*first=*/2), 40 * kBlock);
  EXPECT_EQ(forward_flops(gpt2, 40, 10, /*first=*/3), 0.0);
}

TEST(ForwardFlopsTest, CountsAGatedModelWithGroupedQueriesByHand) {
  const Architecture llama = describe(R"({"model_type": "llama", "hidden_size": 16,
    "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 32, "vocab_size": 11,
    "rms_norm_eps": 1e-5, "hidden_act": "silu"})");
  constexpr double kAttention = 16 * 16 + 2 * 16 * 8 + 16 * 16;  // q; k and v of two heads; out
  constexpr double kMlp = 3 * 16 * 24;                           // gate, up, down
  EXPECT_EQ(forward_flops(llama, 30, 6), 2 * 30 * (2 * (kAttention + kMlp) + 4 * 16 * (6 / 2.0)));
}

TEST(ForwardFlopsTest, CountsTheChosenExpertsOfAMixtureAlone) {
  const Architecture mixtral = describe(R"({"model_type": "mixtral", "hidden_size": 16,
    "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 32, "vocab_size": 11,
    "rms_norm_eps": 1e-5, "hidden_act": "silu", "num_local_experts": 5,
    "num_experts_per_tok": 2})");
  constexpr double kAttention = 16 * 16 + 2 * 16 * 8 + 16 * 16, kRouter = 16 * 5;
  constexpr double kExperts = 2 * (3 * 16 * 24);
  EXPECT_EQ(forward_flops(mixtral, 30, 6),
            30 * (2 * (kAttention + kRouter + kExperts) + 4 * 16 * (6 / 2.0)));
}

TEST(ForwardFlopsTest, LetsEveryTokenMeetTheWholeSequenceWhereNothingIsHidden) {
  const Architecture bert = describe(R"({"model_type": "bert", "hidden_size": 8,
    "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
    "max_position_embeddings": 16, "vocab_size": 11, "type_vocab_size": 2, "hidden_act": "gelu",
    "layer_norm_eps": 1e-12})");
  constexpr double kWeights = 4 * 8 * 8 + 2 * 8 * 32;
  EXPECT_EQ(forward_flops(bert, 40, 10), 40 * (2 * kWeights + 4 * 8 * 10));
}

// Against what a checkpoint holds: every matrix of a block, as it is stored.
TEST(ForwardFlopsTest, CountsTheMatricesThatACheckpointStores) {
  for (const char* name : {"gpt2-tied", "llama-gqa-tied"}) {
    const auto model = prepare_model(kModels / name, {});
    const std::string blocks = model->architecture.family == "gpt2" ? "h." : "layers.";
    double weights = 0;
    for (const TensorInfo& tensor : model->stored()->tensors())
      if (tensor.shape.size() == 2 && tensor.name.find(blocks) != std::string::npos)
        weights += static_cast<double>(tensor.shape[0] * tensor.shape[1]);
    double attention = 0;
    for (std::int64_t block = 0; block < model->architecture.n_blocks; ++block) {
      const AttentionSpec& spec = model->architecture.block(block).attention;
      attention += 4.0 * static_cast<double>(spec.n_heads * spec.head_dim) * (20 / 2.0);
    }
    ASSERT_GT(weights, 0) << name;
    EXPECT_EQ(forward_flops(model->architecture, 100, 20), 100 * (2 * weights + attention)) << name;
  }
}

/// gpt2-tied: d = 24, three blocks of two norms each, and a final norm.
class ReckonTest : public testing::Test {
 protected:
  static constexpr double kSquare = 24 * 24 * 8;  // bytes of a covariance
  // Numbers of a block, with biases: q k v, out, the MLP's two.
  static constexpr double kBlock = (24 + 1) * 72 + (24 + 1) * 24 + (24 + 1) * 96 + (96 + 1) * 24;
  ReckonTest() { options_.probe.side_by_side = false; }
  Plan plan() const { return reckon(*model_, 100, 20, options_); }

  std::unique_ptr<Model> model_ = prepare_model(kModels / "gpt2-tied", {});
  MeasurementOptions options_;
};

TEST_F(ReckonTest, TakesTheBytesOfTheDtypeForStreamAndWeights) {
  const Plan single = plan();
  EXPECT_EQ(single.tokens, 2000);
  EXPECT_EQ(single.stream, 2000 * 24 * 4.0);
  EXPECT_EQ(single.weights, kBlock * 4);
  EXPECT_EQ(single.forward_flops, forward_flops(model_->architecture, 2000, 20));
  EXPECT_EQ(single.gemm_rate, 0.0) << "nothing is measured";
  options_.probe.dtype = DType::f64;
  EXPECT_EQ(plan().stream, 2 * single.stream);
  EXPECT_EQ(plan().weights, 2 * single.weights);
}

// Beside the activations of a tile stand [length, length] numbers for each of its sequences.
TEST_F(ReckonTest, AddsTheMasksOfATileWhereTokensAreHidden) {
  const double without = reckon(*model_, 100, 20, options_).activations,
               with = reckon(*model_, 100, 20, options_, /*masked=*/true).activations;
  EXPECT_EQ(with - without, 1024 * 20 * (4.0 + 2)) << "FP32, and two truth values";
}

TEST_F(ReckonTest, KeepsTheCovariancesOfOneBlockAtATime) {
  EXPECT_EQ(plan().moments, 3 * kSquare) << "the final norm: input, exact, deployed";
  EXPECT_EQ(plan().spectrum, 4 * kSquare);
  options_.site = "all";
  EXPECT_EQ(plan().moments, 6 * kSquare) << "two norms a block";
  options_.probe.method = Method::certificate;
  EXPECT_EQ(plan().spectrum, 2 * kSquare);
  options_.probe.method = Method::directional;
  EXPECT_EQ(plan().moments + plan().spectrum, 0.0);
}

// Norms side by side wait for each other and are decomposed two at a time.
TEST_F(ReckonTest, AddsWhatNormsSideBySideTake) {
  const int threads = at::get_num_threads();
  at::set_num_threads(2);
  options_.probe.side_by_side = true;
  EXPECT_EQ(plan().moments, 3 * kSquare) << "the final norm waits for none";
  EXPECT_EQ(plan().spectrum, 2 * 4 * kSquare) << "its two readings at once";
  options_.site = "all";
  EXPECT_EQ(plan().moments, 6 * kSquare + 4 * 3 * kSquare) << "four may wait, two for a thread";
  EXPECT_EQ(plan().spectrum, 2 * 4 * kSquare);
  at::set_num_threads(threads);
}

// One token in bfloat16: the spectrum is then more than a block with its activations.
TEST_F(ReckonTest, ABlockThatIsReadAheadStandsBesideTheSpectrum) {
  options_.probe.dtype = DType::bf16;
  constexpr double kPeak = 24 * 2 + 3 * kSquare + 4 * kSquare;  // stream, moments, spectrum
  EXPECT_EQ(reckon(*model_, 1, 1, options_).peak(), kPeak);
  SmallDevice device;
  ASSERT_TRUE(device.loads_ahead());
  const auto model = prepare_model(kModels / "gpt2-tied", {false, 0, {}, &device});
  EXPECT_EQ(reckon(*model, 1, 1, options_).peak(), kPeak + kBlock * 2);
}

}  // namespace
}  // namespace deadray::test
