#include "host/formats/elements/halves.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace deadray {
namespace {

TEST(HalvesTest, BothWaysGiveTheSameForAllBitPatterns) {
  // dtype_test.cpp holds widen(), and so the faster way, against the definition of the format.
  std::vector<std::uint16_t> stored(65536);
  for (std::size_t i = 0; i < stored.size(); ++i) stored[i] = static_cast<std::uint16_t>(i);
  const auto* bytes = reinterpret_cast<const std::byte*>(stored.data());
  std::vector<double> fast(stored.size()), portable(stored.size());
  widen_halves(bytes, fast.data(), fast.size());
  widen_halves_portably(bytes, portable.data(), portable.size());
  for (std::size_t i = 0; i < stored.size(); ++i) {
    if (std::isnan(portable[i]))
      ASSERT_TRUE(std::isnan(fast[i])) << i;  // the instruction makes a signalling NaN a quiet one
    else
      ASSERT_EQ(std::memcmp(&fast[i], &portable[i], sizeof(double)), 0) << i;
  }
}

TEST(HalvesTest, WritesAsManyAsItIsAskedForFromAnyAddress) {
  const std::uint16_t one = 0x3c00;
  for (std::size_t count = 0; count < 20; ++count) {
    std::vector<std::byte> bytes(1 + 2 * count);
    for (std::size_t i = 0; i < count; ++i) std::memcpy(&bytes[1 + 2 * i], &one, 2);
    std::vector<double> values(count + 1, -7.0), expected(count, 1.0);
    expected.push_back(-7.0);
    widen_halves(bytes.data() + 1, values.data(), count);
    EXPECT_EQ(values, expected) << count;
  }
}

}  // namespace
}  // namespace deadray
