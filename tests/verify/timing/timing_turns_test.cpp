#include "verify/timing/timing_turns.h"

#include <gtest/gtest.h>

#include "host/base/error.h"

namespace deadray {
namespace {

/// Does nothing, and says that it took `seconds`.
Contender contender(TimingMethod method, double seconds) {
  Contender made;
  made.method = method;
  made.run = [seconds] { return seconds; };
  made.available = [] { return 1000.0; };
  return made;
}

class TurnsTest : public ::testing::Test {
 protected:
  const std::vector<TimingRow>& take(const std::vector<Contender>& contenders,
                                     std::int64_t d = 64) {
    Progress progress("test", /*quiet=*/true);
    take_turns(contenders, {d, 2 * d, ""}, options_, progress, run_);
    return run_.rows;
  }
  TurnOptions options_{.repetitions = 3, .budget = 10, .limit = 100};
  TimingRun run_;
};

TEST_F(TurnsTest, ReadsEveryContenderAsOftenAsAskedFor) {
  const auto& rows = take({contender(TimingMethod::eigh, 2.0), contender(TimingMethod::svd, 4.0)});
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].seconds, std::vector<double>(3, 2.0));
  EXPECT_EQ(rows[1].seconds, std::vector<double>(3, 4.0));
}

TEST_F(TurnsTest, KeepsTheLoadOfTheMachineMeanwhile) {
  const auto& rows = take({contender(TimingMethod::eigh, 2.0)});
  const auto now = read_load_counters().processors;
  if (!now || now->busy == 0) GTEST_SKIP() << "no counters in /proc/stat here";
  // Three readings that fill 50 ms after a pause of as much, on one processor at least.
  EXPECT_GT(rows[0].load.processors, 0.25);
}

TEST_F(TurnsTest, ReadsOnceWhatUsesUpItsBudget) {
  options_.budget = 0;
  EXPECT_EQ(take({contender(TimingMethod::eigh, 2.0)})[0].seconds.size(), 1U);
}

TEST_F(TurnsTest, SkipsWhatDoesNotFitTheMemoryAndSaysTheBytes) {
  Contender large = contender(TimingMethod::svd, 1.0);
  large.bytes = 2048;
  large.run = [] { return ADD_FAILURE() << "it was run", 0.0; };
  const auto& rows = take({large, contender(TimingMethod::eigh, 1.0)});
  EXPECT_TRUE(rows[0].seconds.empty());
  EXPECT_NE(rows[0].skipped.find("2.0 KiB"), std::string::npos) << rows[0].skipped;
  EXPECT_EQ(rows[1].seconds.size(), 3U);
}

TEST_F(TurnsTest, SkipsWhatWillTakeTooLongToJudgeByASmallerSize) {
  take({contender(TimingMethod::eigh, 2.0), contender(TimingMethod::predict, 1e-6)}, 64);
  const auto& rows =
      take({contender(TimingMethod::eigh, 128.0), contender(TimingMethod::predict, 1e-6)},
           256);  // 4^3 * 2 s > 100 s
  EXPECT_TRUE(rows[2].seconds.empty());
  EXPECT_NE(rows[2].skipped.find("128 s"), std::string::npos) << rows[2].skipped;
  EXPECT_EQ(rows[3].seconds.size(), 3U);
}

TEST_F(TurnsTest, GoesOnWithoutAContenderThatFails) {
  Contender broken = contender(TimingMethod::eigh, 1.0);
  broken.run = []() -> double { throw ResourceError("no such library"); };
  const auto& rows = take({broken, contender(TimingMethod::svd, 1.0)});
  EXPECT_EQ(rows[0].skipped, "no such library");
  EXPECT_EQ(rows[1].seconds.size(), 3U);
}

}  // namespace
}  // namespace deadray
