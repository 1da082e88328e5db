#include "verify/layers/vision_tower.h"

#include <gtest/gtest.h>

#include <cmath>

#include "host/base/error.h"
#include "tests/verify/forward/model_fixture.h"

namespace deadray::test {
namespace {

std::vector<std::string> names_of(const std::vector<NormSite>& sites) {
  std::vector<std::string> names;
  for (const NormSite& site : sites) names.push_back(site.name);
  return names;
}

std::vector<std::string> measured(const Measurement& measurement) {
  std::vector<std::string> names;
  for (const SiteResult& result : measurement.sites) names.push_back(result.site.name);
  return names;
}

class VisionTowerTest : public testing::Test {
 protected:
  Measurement measure_site(const Calibration& calibration, const std::string& site) const {
    MeasurementOptions options;
    options.probe.method =
        Method::directional;  // the other methods want more rows than pictures this small have
    options.site = site;
    return measure(*model_, calibration, options);
  }

  std::unique_ptr<Model> model_ = prepare_model(kModels / "gemma4-pictures", {});
  Calibration with_pictures_ = random_tokens(model_->architecture, 3, 8, 40);
  Calibration text_alone_{with_pictures_.ids.clamp_max(5), "text", 0, {}};
};

TEST_F(VisionTowerTest, ItsNormsAreMeasuredInOrderOfEvaluation) {
  EXPECT_EQ(measured(measure_site(with_pictures_, "all")), names_of(model_->sites));
  const Measurement one = measure_site(with_pictures_, "embedding_pre_projection_norm");
  ASSERT_EQ(one.sites.size(), 1u);
  EXPECT_TRUE(one.notes.empty());
}

TEST_F(VisionTowerTest, NormsThatSawNoPictureAreNamed) {
  const Measurement text = measure_site(text_alone_, "all");
  ASSERT_EQ(text.notes.size(), 1u);
  EXPECT_NE(text.notes[0].find("15 norms of the vision tower: not measured"), std::string::npos)
      << text.notes[0];
  EXPECT_EQ(text.sites.size(), model_->sites.size() - 15);
  EXPECT_THROW(measure_site(text_alone_, "embedding_pre_projection_norm"), UsageError);
}

TEST_F(VisionTowerTest, PicturesStayInTheirOwnSequence) {
  // Sequence 0 gets the picture of sequence 1: all others see no difference, not one bit.
  Calibration swapped = with_pictures_;
  swapped.pictures[0] = swapped.pictures[1];
  const auto run = [&](const Calibration& calibration) {
    Recorder recorder(last_norms(*model_));
    Executor(model_->architecture, *model_->weights, {at::kFloat, 40, false})
        .run(calibration, recorder);
    return recorder.final_output().view({8, 40, -1});
  };
  const at::Tensor before = run(with_pictures_), after = run(swapped);
  EXPECT_TRUE(before.narrow(0, 1, 7).equal(after.narrow(0, 1, 7)));
  EXPECT_FALSE(before[0].equal(after[0]));
}

TEST(PlacesTest, TokensOfAPictureSeeEachOtherWithinTheWindow) {
  AttentionSpec spec;
  spec.window = 3;
  spec.joins_groups = true;
  const std::int64_t length = 9;
  const at::Tensor groups =
      at::tensor({-1, 0, 0, 0, 0, -1, 1, 1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1}, at::kLong)
          .view({2, length});
  const Places places =
      places_of(spec, at::arange(length, at::kFloat).unsqueeze(1), at::kFloat, at::kCPU, groups);
  ASSERT_EQ(places.mask.sizes(), (at::IntArrayRef{2, 1, length, length}));
  EXPECT_FALSE(places.causal);
  for (std::int64_t s = 0; s < 2; ++s)
    for (std::int64_t i = 0; i < length; ++i)
      for (std::int64_t j = 0; j < length; ++j) {
        const auto group = [&](std::int64_t token) {
          return groups[s][token].item<std::int64_t>();
        };
        const bool seen =
            (j <= i || (group(i) >= 0 && group(i) == group(j))) && i - j < spec.window;
        EXPECT_EQ(places.mask[s][0][i][j].item<float>(), seen ? 0.0F : -INFINITY)
            << s << ": " << i << " sees " << j;
      }
  EXPECT_TRUE(places.narrow(1, 1).mask[0].equal(places.mask[1]));
  // Blocks that do not join groups stay as they are without pictures.
  spec.joins_groups = false;
  EXPECT_EQ(
      places_of(spec, at::arange(length, at::kFloat).unsqueeze(1), at::kFloat, at::kCPU, groups)
          .mask.size(0),
      1);
}

}  // namespace
}  // namespace deadray::test
