#include "host/predictor_timing.h"

#include <gtest/gtest.h>

#include "host/error.h"
#include "tests/support/small_model.h"

namespace deadray::test {
namespace {

TEST(PredictorTimingTest, TimesWholeProcesses) {
  const TemporaryFolder folder;
  write_small_gpt2(folder.path());
  const ProcessTiming timing = time_process(DEADRAY_BIN "/deadray", folder.path(), 3);
  EXPECT_GT(timing.best, 0.0);
  EXPECT_GE(timing.median, timing.best);
}

TEST(PredictorTimingTest, FailsAsTheProgramItTimedDoes) {
  const TemporaryFolder folder;
  for (const auto& [model, code] : {std::pair{folder / "nowhere", ExitCode::usage}, {folder.path(), ExitCode::unsupported}}) try {
      time_process(DEADRAY_BIN "/deadray", model, 1);
      ADD_FAILURE() << "nothing was thrown";
    } catch (const Error& error) {
      const std::string message = error.what();
      EXPECT_EQ(error.code(), code) << message;
      EXPECT_NE(message.find("deadray: " + model.string() + ": no "), std::string::npos) << message;
      EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    }
}

TEST(PredictorTimingTest, SaysWhenThereIsNoProgram) {
  const TemporaryFolder folder;
  EXPECT_THROW(time_process(folder / "deadray", folder.path(), 1), ResourceError);
}

}  // namespace
}  // namespace deadray::test
