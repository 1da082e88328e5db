#pragma once

/// The warp, which every kernel counts on, and what its lanes do together.
namespace deadray::kernels::cuda {

constexpr int kWarpSize = 32;
/// The mask of an exchange in which all lanes take part.
constexpr unsigned kAllLanes = 0xffffffffu;

/// The value of the lane whose number differs in `bit`.
__device__ inline float from_lane(float value, int bit) {
  return __shfl_xor_sync(kAllLanes, value, bit);
}
__device__ inline double from_lane(double value, int bit) {
  return __shfl_xor_sync(kAllLanes, value, bit);
}

/// Combines each of n values, a power of two, over the warp, in a fixed order, and leaves the
/// results dealt out at the front of `values`. For n <= 32 lane l keeps result l / (32 / n); for
/// more it keeps n / 32 of them, from l * n / 32 on. At each step half of the values change hands:
/// about n exchanges, where a butterfly for each value would take 5 n.
/// @tparam kept  n at the first step
template <int kept, int bit = kWarpSize / 2, int n, typename T, typename Combine>
__device__ void deal_out(T (&values)[n], Combine combine) {
  if constexpr (kept > 1) {
    const bool upper = (threadIdx.x & bit) != 0;
#pragma unroll
    for (int i = 0; i < kept / 2; ++i) {
      const T mine = upper ? values[i + kept / 2] : values[i],
              other = upper ? values[i] : values[i + kept / 2];
      values[i] = combine(mine, from_lane(other, bit));
    }
  } else {
    values[0] = combine(values[0], from_lane(values[0], bit));
  }
  if constexpr (bit > 1) deal_out<(kept > 1 ? kept / 2 : 1), bit / 2>(values, combine);
}

}  // namespace deadray::kernels::cuda
