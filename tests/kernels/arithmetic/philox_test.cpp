#include "kernels/arithmetic/philox.h"

#include <gtest/gtest.h>

#include <bitset>

namespace deadray::kernels {
namespace {

void expect_words(const PhiloxWords& got, const PhiloxWords& want) {
  EXPECT_EQ(got.w0, want.w0);
  EXPECT_EQ(got.w1, want.w1);
  EXPECT_EQ(got.w2, want.w2);
  EXPECT_EQ(got.w3, want.w3);
}

// Known answers that the authors publish with their library Random123 (kat_vectors, "philox4x32
// 10"): counter, key, result.
TEST(PhiloxTest, GivesThePublishedAnswers) {
  expect_words(philox4x32({0, 0, 0, 0}, 0), {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  expect_words(philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, 0xffffffffffffffff),
               {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  expect_words(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0x299f31d0a4093822),
               {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

// Flipping one of the 192 input bits flips each output bit with probability 1/2: 64 ± 5.66 of 128,
// 192 means within 6 deviations.
TEST(PhiloxTest, EveryInputBitMovesHalfOfTheOutput) {
  constexpr int kTrials = 64;
  for (int bit = 0; bit < 192; ++bit) {
    double flipped = 0;
    for (std::uint32_t trial = 0; trial < kTrials; ++trial) {
      PhiloxWords counter{trial, 7 * trial, 3, 11};
      std::uint64_t key = 0x1234567 + trial;
      const PhiloxWords before = philox4x32(counter, key);
      if (bit < 128) {
        (bit < 32   ? counter.w0
         : bit < 64 ? counter.w1
         : bit < 96 ? counter.w2
                    : counter.w3) ^= 1u << (bit % 32);
      } else {
        key ^= std::uint64_t{1} << (bit - 128);
      }
      const PhiloxWords after = philox4x32(counter, key);
      for (const std::uint32_t difference : {before.w0 ^ after.w0, before.w1 ^ after.w1,
                                             before.w2 ^ after.w2, before.w3 ^ after.w3}) {
        flipped += static_cast<double>(std::bitset<32>(difference).count());
      }
    }
    EXPECT_NEAR(flipped / kTrials, 64.0, 6 * 5.66 / 8) << "input bit " << bit;
  }
}

}  // namespace
}  // namespace deadray::kernels
