#include "verify/ranks/communicator.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "tests/support/thread_ranks.h"

namespace deadray {
namespace {

using test::ThreadRanks;

TEST(CommunicatorTest, OneProcessIsRankZeroOfOne) {
  Communicator& one = one_process();
  EXPECT_EQ(one.rank(), 0);
  EXPECT_EQ(one.size(), 1);
  EXPECT_EQ(one.hosts().size(), 1);
  std::vector<double> values{1, 2};
  one.all_sum(values);
  EXPECT_EQ(values, (std::vector<double>{1, 2}));
  EXPECT_EQ(one.largest(-3), -3);
  EXPECT_EQ(one.gather("x"), std::vector<std::string>{"x"});
}

TEST(CommunicatorTest, SumsAreTheSameOnEachRank) {
  ThreadRanks::run(3, [](Communicator& ranks) {
    std::vector<double> values{1.0 + ranks.rank(), 10.0};
    ranks.all_sum(values);
    EXPECT_EQ(values, (std::vector<double>{6, 30}));
    EXPECT_EQ(ranks.largest(ranks.rank() == 1 ? -0.5 : -2), -0.5);
  });
}

TEST(CommunicatorTest, MeansAreWeightedByRows) {
  ThreadRanks::run(3, [](Communicator& ranks) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    // Rank 2 has no rows: the mean of nothing must not count.
    const double rows[] = {1, 3, 0}, means[] = {10, 2, nan};
    const auto all = mean_over_ranks(ranks, {means[ranks.rank()], 1}, rows[ranks.rank()]);
    EXPECT_EQ(all, (std::vector<double>{4, 1 * 4.0 / 4}));
  });
}

TEST(CommunicatorTest, NotesOfAllRanksAppearOnce) {
  ThreadRanks::run(2, [](Communicator& ranks) {
    const auto notes =
        notes_of_ranks(ranks, {"same", ranks.rank() == 1 ? "of the second" : "same"});
    EXPECT_EQ(notes, (std::vector<std::string>{"same", "of the second"}));
  });
}

}  // namespace
}  // namespace deadray
