#include "verify/device/device_option.h"

#include <gtest/gtest.h>

#include "tests/support/errors.h"

namespace deadray {
namespace {

TEST(DeviceOptionTest, ARankTakesTheDeviceOfItsNumberOrTheOneThatItIsShown) {
  for (int rank = 0; rank < 4; ++rank) {
    EXPECT_EQ(device_of_rank(/*visible=*/8, rank, 4), rank);
    EXPECT_EQ(device_of_rank(/*visible=*/1, rank, 4), 0);
  }
}

TEST(DeviceOptionTest, TooFewDevicesForTheRanksAreRefused) {
  EXPECT_TRUE(test::contains(test::message_of(ExitCode::usage, [] { device_of_rank(2, 0, 4); }),
                             "4 ranks on this host see 2 devices"));
}

}  // namespace
}  // namespace deadray
