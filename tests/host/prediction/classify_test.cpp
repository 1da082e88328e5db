#include "host/prediction/classify.h"
#include "host/architecture/norm_parameters.h"

#include <gtest/gtest.h>

#include "host/architecture/catalogue.h"
#include "tests/support/small_model.h"

namespace deadray::test {
namespace {

constexpr std::int64_t kWidth = 32, kOutputs = 96;

/// A norm without beta, read by one map W [outputs, width] or its transpose.
class ClassifyTest : public ::testing::Test {
 protected:
  NormEvidence classify(SmallTensor weight, std::uint64_t seed = 0) {
    write_tensors(file_, {{"norm.weight", gamma_}, {"up.weight", std::move(weight)}});
    const Checkpoint checkpoint = Checkpoint::open(file_);
    return classify_norm(checkpoint, site_, load_norm(checkpoint, site_), seed);
  }

  /// Gaussian W whose component along `share` D_gamma^-1 1 is multiplied: W D_gamma 1 grows or
  /// shrinks with it.
  SmallTensor weight(float factor) const {
    SmallTensor w = random_tensor({kOutputs, kWidth}, 7);
    for (std::int64_t j = 0; j < kOutputs; ++j) {
      float* row = &w.values[static_cast<std::size_t>(j * kWidth)];
      float mean = 0;
      for (std::int64_t i = 0; i < kWidth; ++i)
        mean += row[i] * gamma_.values[static_cast<std::size_t>(i)] / kWidth;
      for (std::int64_t i = 0; i < kWidth; ++i)
        row[i] += (factor - 1) * mean / gamma_.values[static_cast<std::size_t>(i)];
    }
    return w;
  }

  static SmallTensor transposed(const SmallTensor& w) {
    SmallTensor t{{kWidth, kOutputs}, std::vector<float>(w.values.size())};
    for (std::int64_t j = 0; j < kOutputs; ++j)
      for (std::int64_t i = 0; i < kWidth; ++i)
        t.values[static_cast<std::size_t>(i * kOutputs + j)] =
            w.values[static_cast<std::size_t>(j * kWidth + i)];
    return t;
  }

  TemporaryFolder folder_;
  std::filesystem::path file_ = folder_ / "model.safetensors";
  SmallTensor gamma_ = random_tensor({kWidth}, 3, 1.0F);
  NormSite site_ = [] {
    NormSite site;
    site.name = "norm";
    site.hidden_size = kWidth;
    site.weight = "norm.weight";
    site.consumers = {{"up", kOutputs, false, false}};
    return site;
  }();
};

TEST_F(ClassifyTest, ShiftMeansLayerNorm) {
  NormParameters norm{{1.0, 2.0}, {0.0, 0.0}, DType::f32, 0};
  write_tensors(file_, {{"norm.weight", gamma_}});
  const NormEvidence evidence = classify_norm(Checkpoint::open(file_), site_, norm);
  EXPECT_EQ(evidence.source, NormEvidence::Source::beta);
  EXPECT_EQ(evidence.suggested, NormKind::layernorm);
}

TEST_F(ClassifyTest, RandomWeightsSuggestNothing) {
  const NormEvidence evidence = classify(weight(1.0F));
  EXPECT_EQ(evidence.source, NormEvidence::Source::consumers);
  EXPECT_FALSE(evidence.suggested.has_value());
  EXPECT_LT(evidence.null_low, 1.0);
  EXPECT_GT(evidence.null_high, 1.0);
}

TEST_F(ClassifyTest, MissingComponentAlongOnesSuggestsLayerNorm) {
  const NormEvidence evidence = classify(weight(0.0F));
  // Zero but for the rounding of the FP32 weights: (2^-24)^2 = 4e-15 times a factor below 1000.
  EXPECT_LT(evidence.rho, 1e-10);
  EXPECT_EQ(evidence.suggested, NormKind::layernorm);
  EXPECT_EQ(classify(weight(4.0F)).suggested, NormKind::layernorm)
      << "so does a component that is too large";
}

TEST_F(ClassifyTest, StorageOfTheWeightDoesNotMatter) {
  const SmallTensor w = weight(0.5F);
  const NormEvidence rows = classify(w), columns = classify(transposed(w));
  EXPECT_NEAR(columns.rho / rows.rho, 1.0, 1e-12);  // sums of 96 x 32 products in another order
  EXPECT_NEAR(columns.null_low / rows.null_low, 1.0, 1e-12);
}

TEST_F(ClassifyTest, SameSeedSameNull) {
  const SmallTensor w = weight(1.0F);
  EXPECT_EQ(classify(w, 5).null_high, classify(w, 5).null_high);
  EXPECT_NE(classify(w, 5).null_high, classify(w, 6).null_high);
}

TEST_F(ClassifyTest, NoConsumerNoEvidence) {
  site_.consumers.clear();
  EXPECT_EQ(classify(weight(1.0F)).source, NormEvidence::Source::none);
  site_.consumers = {{"elsewhere", 4, false, false}};
  EXPECT_EQ(classify(weight(1.0F)).source, NormEvidence::Source::none);
}

}  // namespace
}  // namespace deadray::test
