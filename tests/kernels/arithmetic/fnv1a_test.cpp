#include "kernels/arithmetic/fnv1a.h"

#include <gtest/gtest.h>

namespace deadray::kernels {
namespace {

TEST(Fnv1aTest, GivesThePublishedVectors) {
  static_assert(fnv1a("") == 0xcbf29ce484222325u);
  EXPECT_EQ(fnv1a("a"), 0xaf63dc4c8601ec8cu);
  EXPECT_EQ(fnv1a("foobar"), 0x85944171f73967e8u);
}

TEST(Fnv1aTest, TakesBytesOutsideAsciiAsUnsigned) {
  // By hand: one step from the start value with the byte 0xff.
  EXPECT_EQ(fnv1a("\xff"), (0xcbf29ce484222325u ^ 0xffu) * 0x100000001b3u);
}

}  // namespace
}  // namespace deadray::kernels
