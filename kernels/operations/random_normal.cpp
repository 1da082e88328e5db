#include "kernels/operations/random_normal.h"

#include <algorithm>

#include "kernels/arithmetic/normal_arithmetic.h"
#include "kernels/arithmetic/philox.h"

namespace deadray::kernels {
namespace {

DEADRAY_CLONES void normal_groups(std::uint64_t seed, std::uint64_t stream, std::int64_t group,
                                  std::int64_t end, float deviation, float* out) {
  for (; group < end; ++group, out += kRandomGroup) {
    for (int lane = 0; lane < kRandomLanes; ++lane) {
      const PhiloxWords words = random_words(seed, stream, group, lane);
      const NormalPair low = box_muller(words.w0, words.w1, deviation),
                       high = box_muller(words.w2, words.w3, deviation);
      out[lane] = low.first;
      out[lane + kRandomLanes] = low.second;
      out[lane + 2 * kRandomLanes] = high.first;
      out[lane + 3 * kRandomLanes] = high.second;
    }
  }
}

void uniform_int_groups(std::uint64_t seed, std::uint64_t stream, std::int64_t group,
                        std::int64_t end, std::uint64_t bound, std::int64_t* out) {
  for (; group < end; ++group, out += kRandomGroup) {
    for (int lane = 0; lane < kRandomLanes; ++lane) {
      const PhiloxWords words = random_words(seed, stream, group, lane);
      out[lane] = uniform_below(words.w0, bound);
      out[lane + kRandomLanes] = uniform_below(words.w1, bound);
      out[lane + 2 * kRandomLanes] = uniform_below(words.w2, bound);
      out[lane + 3 * kRandomLanes] = uniform_below(words.w3, bound);
    }
  }
}

/// Whole groups go straight to `out`; what a range cuts off at either end goes by way of a group of
/// its own.
template <typename T, typename DrawGroups>
void draw_range(std::int64_t first, std::int64_t count, T* out, DrawGroups draw_groups) {
  while (count > 0) {
    const std::int64_t group = first / kRandomGroup, skipped = first % kRandomGroup;
    std::int64_t drawn = count / kRandomGroup * kRandomGroup;
    if (skipped == 0 && drawn > 0) {
      draw_groups(group, group + drawn / kRandomGroup, out);
    } else {
      T whole[kRandomGroup];
      draw_groups(group, group + 1, whole);
      drawn = std::min(kRandomGroup - skipped, count);
      std::copy_n(whole + skipped, drawn, out);
    }
    first += drawn, count -= drawn, out += drawn;
  }
}

}  // namespace

void random_normal(std::uint64_t seed, std::uint64_t stream, std::int64_t first, std::int64_t count,
                   float deviation, float* out) {
  draw_range(first, count, out, [=](std::int64_t group, std::int64_t end, float* to) {
    normal_groups(seed, stream, group, end, deviation, to);
  });
}

void random_uniform_int(std::uint64_t seed, std::uint64_t stream, std::int64_t first,
                        std::int64_t count, std::uint64_t bound, std::int64_t* out) {
  draw_range(first, count, out, [=](std::int64_t group, std::int64_t end, std::int64_t* to) {
    uniform_int_groups(seed, stream, group, end, bound, to);
  });
}

}  // namespace deadray::kernels
