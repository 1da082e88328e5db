#include "host/remote/byte_ranges.h"

#include <gtest/gtest.h>

#include <vector>

namespace deadray {
namespace {

using Ranges = std::vector<ByteRange>;

TEST(JoinRangesTest, SortsAndJoinsWhatOverlapsOrMeets) {
  EXPECT_EQ(join_ranges({{50, 60}, {0, 10}, {10, 20}, {15, 18}}, 0), (Ranges{{0, 20}, {50, 60}}));
}

TEST(JoinRangesTest, BridgesGapsUpToTheLimitAlone) {
  EXPECT_EQ(join_ranges({{0, 10}, {14, 20}, {25, 30}}, 4), (Ranges{{0, 20}, {25, 30}}));
}

TEST(JoinRangesTest, LeavesEmptyRangesOut) {
  EXPECT_EQ(join_ranges({{5, 5}, {7, 3}}, 100), Ranges{});
}

TEST(WithoutHeldTest, KeepsWhatLiesBetweenHeldRanges) {
  const Ranges wanted = {{0, 100}, {200, 210}}, held = {{10, 20}, {50, 60}, {200, 300}};
  EXPECT_EQ(without_held(wanted, held), (Ranges{{0, 10}, {20, 50}, {60, 100}}));
}

TEST(WithoutHeldTest, WantsAllWhereNothingIsHeld) {
  const Ranges wanted = {{3, 9}};
  EXPECT_EQ(without_held(wanted, {}), wanted);
}

TEST(WithoutHeldTest, CutsAtBothEnds) {
  const Ranges wanted = {{5, 15}}, held = {{0, 7}, {12, 20}};
  EXPECT_EQ(without_held(wanted, held), (Ranges{{7, 12}}));
}

}  // namespace
}  // namespace deadray
