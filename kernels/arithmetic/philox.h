#pragma once

#include <cstdint>

#include "kernels/arithmetic/host_device.h"

namespace deadray::kernels {

/// Four 32-bit words: a counter of Philox, or what it makes of one.
struct PhiloxWords {
  std::uint32_t w0, w1, w2, w3;
};

/// Philox4x32-10: for each 64-bit key a bijection of 128-bit counters, whose values pass as
/// independent uniform words. Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy
/// as 1, 2, 3", SC 2011.
DEADRAY_HOST_DEVICE PhiloxWords philox4x32(PhiloxWords counter, std::uint64_t key) {
  auto key0 = static_cast<std::uint32_t>(key), key1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = std::uint64_t{0xD2511F53u} * counter.w0,
                        product1 = std::uint64_t{0xCD9E8D57u} * counter.w2;
    counter = {static_cast<std::uint32_t>(product1 >> 32) ^ counter.w1 ^ key0,
               static_cast<std::uint32_t>(product1),
               static_cast<std::uint32_t>(product0 >> 32) ^ counter.w3 ^ key1,
               static_cast<std::uint32_t>(product0)};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

/// A tensor's random stream: element i depends on (seed, stream, i) alone. Elements come in groups
/// of 64: counter 16 g + l yields elements 64 g + l, + 16, + 32, + 48, so that 16 lanes store side
/// by side.
constexpr std::int64_t kRandomLanes = 16, kRandomGroup = 4 * kRandomLanes;

/// The words of elements 64 * group + lane + {0, 16, 32, 48}.
DEADRAY_HOST_DEVICE PhiloxWords random_words(std::uint64_t seed, std::uint64_t stream,
                                             std::int64_t group, int lane) {
  const std::uint64_t counter =
      static_cast<std::uint64_t>(group) * kRandomLanes + static_cast<std::uint64_t>(lane);
  return philox4x32({static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32),
                     static_cast<std::uint32_t>(stream), static_cast<std::uint32_t>(stream >> 32)},
                    seed);
}

/// A word as an integer in [0, bound), bound <= 2^32.
DEADRAY_HOST_DEVICE std::int64_t uniform_below(std::uint32_t word, std::uint64_t bound) {
  return static_cast<std::int64_t>((word * bound) >> 32);
}

}  // namespace deadray::kernels
