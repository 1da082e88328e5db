#include "host/prediction/predict_norms.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "host/architecture/norm_parameters.h"
#include "tests/support/errors.h"
#include "tests/support/small_model.h"

namespace deadray::test {
namespace {

constexpr std::int64_t kNorms = 40, kNormWidth = 33;

/// LayerNorms with shifts, some with a zero scale.
class PredictNormsTest : public ::testing::Test {
 protected:
  PredictNormsTest() {
    unsigned seed = 0;
    for (std::int64_t i = 0; i < kNorms; ++i) {
      const std::string name = "h." + std::to_string(i) + ".ln";
      tensors_[name + ".weight"] = random_tensor({kNormWidth}, ++seed, 1.0F);
      tensors_[name + ".bias"] = random_tensor({kNormWidth}, ++seed);
      if (i % 5 == 0) tensors_[name + ".weight"].values[7] = 0.0F;
      NormSite site;
      site.name = name;
      site.hidden_size = kNormWidth;
      site.weight = name + ".weight";
      site.bias = name + ".bias";
      site.consumers = {{name + ".reader", 3, true}};
      sites_.push_back(site);
    }
  }
  Checkpoint checkpoint() {
    write_tensors(folder_ / "model.safetensors", tensors_);
    return Checkpoint::open(folder_ / "model.safetensors");
  }

  TemporaryFolder folder_;
  SmallTensors tensors_;
  std::vector<NormSite> sites_;
  NormRequest request_;
};

TEST_F(PredictNormsTest, GivesWhatEachNormAloneGivesWithAnyNumberOfThreads) {
  const Checkpoint model = checkpoint();
  request_.keep_directions = true;
  for (const std::size_t threads : {1, 2, 5}) {
    const PredictedNorms norms = predict_norms(model, sites_, request_, threads);
    ASSERT_EQ(norms.sites.size(), sites_.size());
    EXPECT_EQ(norms.bytes_read, static_cast<std::uint64_t>(kNorms * kNormWidth * 2 * 4));
    for (std::size_t i = 0; i < sites_.size(); ++i) {
      const NormParameters norm = load_norm(model, sites_[i]);
      const DeadSubspace alone = predict(sites_[i].kind, norm.gamma, norm.beta);
      const SitePrediction& got = norms.sites[i];
      EXPECT_EQ(got.site.name, sites_[i].name);
      EXPECT_EQ(got.stored, DType::f32);
      EXPECT_EQ(got.subspace.inverse, alone.inverse);
      EXPECT_EQ(got.subspace.coordinates, alone.coordinates);
      EXPECT_EQ(got.subspace.constant, alone.constant);
      EXPECT_EQ(got.subspace.deployed_floor, alone.deployed_floor);
      ASSERT_EQ(got.consumers.size(), 1U);
      EXPECT_EQ(got.consumers[0].count, 3);
    }
  }
}

TEST_F(PredictNormsTest, KeepsNoDirectionThatNobodyAskedFor) {
  for (const SitePrediction& site : predict_norms(checkpoint(), sites_, request_).sites)
    EXPECT_EQ(site.subspace.inverse.capacity(), 0U) << site.site.name;
}

TEST_F(PredictNormsTest, NamesFileAndTensorOfTheFirstBadNorm) {
  for (const std::string bad : {"h.12.ln.weight", "h.3.ln.bias", "h.30.ln.weight"})
    tensors_[bad].values[5] = std::nanf("");
  const Checkpoint model = checkpoint();
  for (const std::size_t threads : {1, 2, 5}) {
    const std::string message =
        message_of(ExitCode::malformed, [&] { predict_norms(model, sites_, request_, threads); });
    EXPECT_TRUE(contains(message,
                         "model.safetensors: tensor 'h.3.ln.bias': 1 of 33 values are "
                         "not finite, the first at index 5"));
  }
}

TEST_F(PredictNormsTest, RefusesANormOfZerosByName) {
  tensors_["h.3.ln.weight"].values.assign(kNormWidth, 0.0F);
  const Checkpoint model = checkpoint();
  EXPECT_TRUE(
      contains(message_of(ExitCode::malformed, [&] { predict_norms(model, sites_, request_); }),
               "model.safetensors: tensor 'h.3.ln.weight': all 33 values are zero"));
}

}  // namespace
}  // namespace deadray::test
