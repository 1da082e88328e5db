#include "verify/layers/vision_tower.h"

#include <gtest/gtest.h>

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
    // The other methods want more rows than pictures this small have.
    options.probe.method = Method::directional;
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

}  // namespace
}  // namespace deadray::test
