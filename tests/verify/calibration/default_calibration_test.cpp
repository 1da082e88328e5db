#include "verify/calibration/default_calibration.h"

#include <gtest/gtest.h>

#include "tests/support/errors.h"

namespace deadray::test {
namespace {

Architecture model_of(std::int64_t hidden_size, std::int64_t max_positions) {
  Architecture architecture;
  architecture.hidden_size = hidden_size;
  architecture.max_positions = max_positions;
  architecture.vocab_size = 11;
  return architecture;
}

TEST(DefaultCalibrationTest, HasAQuarterMoreTokensThanDimensionsAndAtLeast4096) {
  EXPECT_EQ(default_tokens(24), 4096);
  EXPECT_EQ(default_tokens(3276), 4096);
  EXPECT_EQ(default_tokens(3277), 4097);  // 4096.25, rounded up
  EXPECT_EQ(default_tokens(8192), 10240);
  for (std::int64_t d = 1; d < 20'000; d += 7) EXPECT_GE(4 * default_tokens(d), 5 * d);
}

TEST(DefaultCalibrationTest, IsWholeSequencesOfTheLengthThatTheModelTakes) {
  CalibrationRequest request;
  EXPECT_EQ(make_calibration(model_of(5376, 0), "m", request).ids.sizes(),
            (std::vector<std::int64_t>{27, 256}));  // 6720 tokens wanted
  request.default_length = 512;
  EXPECT_EQ(make_calibration(model_of(24, 100), "m", request).ids.sizes(),
            (std::vector<std::int64_t>{41, 100}));
  request.sequence_length = 30, request.random_tokens = 61;
  EXPECT_EQ(make_calibration(model_of(24, 100), "m", request).ids.sizes(),
            (std::vector<std::int64_t>{3, 30}));
  request.batch = 2;
  EXPECT_EQ(make_calibration(model_of(24, 100), "m", request).ids.sizes(),
            (std::vector<std::int64_t>{2, 30}));
  request.sequence_length = 101;
  EXPECT_TRUE(contains(
      message_of(ExitCode::usage, [&] { make_calibration(model_of(24, 100), "m", request); }),
      "at most 100 tokens"));
}

TEST(DefaultCalibrationTest, LeavesAsManyTokensWhereSomeAreSkipped) {
  CalibrationRequest request;
  request.skip_tokens = 56;
  const Calibration calibration = make_calibration(model_of(5376, 0), "m", request);
  EXPECT_EQ(calibration.ids.sizes(), (std::vector<std::int64_t>{34, 256}));  // 6720 / 200
  EXPECT_EQ(calibration.rows(), 34 * 200);
  request.random_tokens = 512;  // the user's own number is of all tokens
  EXPECT_EQ(make_calibration(model_of(24, 0), "m", request).sequences(), 2);
}

TEST(DefaultCalibrationTest, RefusesToSkipAllTokens) {
  CalibrationRequest request;
  request.sequence_length = request.skip_tokens = 8;
  EXPECT_TRUE(contains(
      message_of(ExitCode::usage, [&] { make_calibration(model_of(24, 0), "m", request); }),
      "skipping 8 tokens: sequences of 8 leave none"));
  Architecture pictures = model_of(24, 0);
  pictures.patches.emplace();
  EXPECT_TRUE(
      contains(message_of(ExitCode::usage, [&] { make_calibration(pictures, "m", request); }),
               "m reads pixels"));
}

}  // namespace
}  // namespace deadray::test
