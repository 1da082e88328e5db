#include "verify/directional/invariance.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <variant>

#include "host/architecture/catalogue.h"
#include "host/architecture/norm_parameters.h"
#include "tests/verify/forward/model_fixture.h"
#include "verify/calibration/default_calibration.h"
#include "verify/directional/consumers.h"
#include "verify/fisher/fisher_verdict.h"

namespace deadray {
namespace {

/// Finite steps along a dead direction of one consumer of a fixture, as it should be and with a
/// compensation that is off.
void expect_still_only_when_compensated(const std::string& fixture, const std::string& norm) {
  const auto model = prepare_model(test::kModels / fixture, {});
  CalibrationRequest request;
  if (model->architecture.patches) {
    request.batch = 2;
  } else {
    request.random_tokens = 32;
    request.sequence_length = 8;
  }
  const Calibration calibration = make_calibration(model->architecture, model->name, request);
  const NormSite& site = *std::find_if(model->sites.begin(), model->sites.end(),
                                       [&](const NormSite& s) { return s.name == norm; });
  const std::int64_t entry = entry_block(*model, site).value();
  const KeptStreams kept = keep_streams(*model, calibration, at::kDouble, entry);
  const FisherPass pass{*model, calibration, kept.streams, site.name, entry};
  Invariance invariance(pass);
  const NormParameters parameters = load_norm(*model->checkpoint, site);
  const DeadSubspace subspace = predict(site.kind, parameters.gamma, parameters.beta);
  ParameterDirection direction =
      parameter_directions(site, parameters, subspace, dead_parameters(site, subspace), {1, 1}, 0)
          .front();
  ASSERT_EQ(direction.kind, ParameterDirection::Kind::dead);
  EXPECT_LT(invariance.movement(direction), kStill) << fixture;
  if (auto* own = std::get_if<ConsumerMove>(&direction.move))
    own->s *= 1.01;
  else
    for (Compensation& move : std::get<BetaShift>(direction.move).compensations) {
      move.r = move.r * 1.01;
      move.s *= 1.01;
    }
  EXPECT_GT(invariance.movement(direction), 1e-6) << fixture << ": a hundredth off";
}

TEST(InvarianceTest, HoldsForABiasThatTakesUpTheConstant) {
  expect_still_only_when_compensated("gpt2-untied", "transformer.h.0.ln_2");
}
TEST(InvarianceTest, HoldsForAShiftOfBeta) {
  expect_still_only_when_compensated("gpt2-untied", "transformer.ln_f");
}
TEST(InvarianceTest, HoldsWhereACheckpointHasOtherNames) {
  expect_still_only_when_compensated("vit-new-names", "vit.encoder.layer.0.layernorm_before");
}

}  // namespace
}  // namespace deadray
