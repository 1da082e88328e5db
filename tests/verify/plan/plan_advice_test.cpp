#include "verify/plan/plan_advice.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/errors.h"
#include "tests/verify/forward/model_fixture.h"
#include "verify/calibration/default_calibration.h"

namespace deadray::test {
namespace {

/// gpt2-tied: sequences of 20, d = 24; what the run takes and what would make it fit.
class WayOutTest : public testing::Test {
 protected:
  WayOutTest() : model_(prepare_model(kModels / "gpt2-tied", {})) {
    options_.probe.side_by_side = false;  // what is asked for where memory is short
    set_tokens(400, 20);
  }
  void set_tokens(std::int64_t sequences, std::int64_t length) {
    CalibrationRequest request;
    request.batch = sequences, request.sequence_length = length;
    calibration_ = make_calibration(model_->architecture, model_->name, request);
  }
  /// Of the same run, some things changed.
  std::int64_t bytes(std::int64_t sequences, const MeasurementOptions& options) const {
    return static_cast<std::int64_t>(
        reckon(*model_, sequences, calibration_.length(), options).peak());
  }
  std::string way(std::int64_t available) const {
    return way_out(*model_, calibration_, options_, available);
  }

  std::unique_ptr<Model> model_;
  Calibration calibration_;
  MeasurementOptions options_;
};

TEST_F(WayOutTest, SaysHowManyTokensFit) {
  EXPECT_TRUE(contains(way(bytes(10, options_)), "at most 200 tokens, in 10 sequences"));
  EXPECT_TRUE(contains(way(bytes(11, options_) - 1), "at most 200 tokens"))
      << "one byte short of 11 sequences";
}

TEST_F(WayOutTest, OffersNoMoreThanHelps) {
  options_.probe.dtype = DType::bf16;
  const std::string at_ten = way(bytes(10, options_));
  for (const char* useless : {"bfloat16", "--site", "residual"})
    EXPECT_EQ(at_ten.find(useless), std::string::npos) << at_ten;
  set_tokens(1, 1);
  options_ = {};
  for (const std::int64_t available : {bytes(1, options_) - 1, std::int64_t{1}}) {
    const std::string said = way(available);
    for (const char* useless : {"tokens", "--site"})
      EXPECT_EQ(said.find(useless), std::string::npos) << said;
  }
  EXPECT_TRUE(contains(way(1), "no option makes it fit"));
}

TEST_F(WayOutTest, OffersOneNormWhereThereAreMore) {
  MeasurementOptions final_norm = options_;
  options_.site = "all";
  const std::int64_t available = bytes(400, final_norm);
  ASSERT_GT(bytes(400, options_), available);
  EXPECT_TRUE(contains(way(available), "one norm with --site, transformer.ln_f say"));
}

TEST_F(WayOutTest, TakesTogetherWhatDoesNotSufficeAlone) {
  MeasurementOptions least = options_;
  least.probe.dtype = DType::bf16, least.probe.method = Method::directional;
  set_tokens(1, 20);  // no more than dimensions: fewer of them would decide nothing
  EXPECT_EQ(way(bytes(1, least)), "give the method directional and the dtype bfloat16");
}

TEST_F(WayOutTest, StandsInTheErrorBesideTheNumbers) {
  const Plan plan = reckon(*model_, 400, 20, options_);
  const std::int64_t available = bytes(10, options_);
  const std::string message = message_of(ExitCode::resources, [&] {
    require_memory(plan, *model_, calibration_, options_, available);
  });
  for (const char* part : {"8000 tokens", "available", "does not fit; give "})
    EXPECT_TRUE(contains(message, part));
  EXPECT_NO_THROW(require_memory(plan, *model_, calibration_, options_, bytes(400, options_) + 1));
  EXPECT_NO_THROW(require_memory(plan, *model_, calibration_, options_, 0)) << "nothing is known";
}

}  // namespace
}  // namespace deadray::test
