#pragma once

#include <cstdint>

#include "kernels/cuda/warp.cuh"

/// Sums over a block of whole warps, always in the same order.
namespace deadray::kernels::cuda {

/// Of a block that calls block_sum().
constexpr int kMaxWarps = 8;

/// Threads that suit a row: a warp for each 128 elements.
inline unsigned threads_for(std::int64_t hidden_size) {
  const std::int64_t warps = (hidden_size + 127) / 128;
  return static_cast<unsigned>(kWarpSize * (warps < 1 ? 1 : warps > kMaxWarps ? kMaxWarps : warps));
}

/// Replaces each of n values by its sum over the block, in every thread. All threads take part.
/// @param scratch  shared memory, [kMaxWarps * n]
template <int n>
__device__ void block_sum(double (&values)[n], double* scratch) {
  const int warp = threadIdx.x / kWarpSize, n_warps = blockDim.x / kWarpSize;
  for (double& value : values) {
    for (int step = kWarpSize / 2; step > 0; step /= 2) value += from_lane(value, step);
  }
  if (threadIdx.x % kWarpSize == 0) {
    for (int k = 0; k < n; ++k) scratch[warp * n + k] = values[k];
  }
  __syncthreads();
  for (int k = 0; k < n; ++k) {
    values[k] = 0.0;
    for (int w = 0; w < n_warps; ++w) values[k] += scratch[w * n + k];
  }
  __syncthreads();  // scratch may be written again
}

/// Of a block that uses BlockSums; 512 threads have 128 registers each.
constexpr int kMaxHeldWarps = 16;
constexpr int kMaxHeldThreads = kWarpSize * kMaxHeldWarps;

constexpr int power_of_two_from(int n) { return n <= 1 ? 1 : 2 * power_of_two_from((n + 1) / 2); }

/// Sums over a block of up to kMax values a thread, with one barrier for each set of sums. Two
/// halves of the memory are used in turn: a thread that still reads one set cannot have passed the
/// barrier of the next, so nobody writes over what it reads.
template <typename T, int kMax>
class BlockSums {
 public:
  static constexpr int kScratch = 2 * kMax * kMaxHeldWarps;
  /// @param scratch  shared memory, [kScratch]
  __device__ explicit BlockSums(T* scratch) : scratch_(scratch) {}

  /// All threads take part; total(k) is then the block's sum of values[k].
  template <int n>
  __device__ void share(const T (&values)[n]) {
    static_assert(n <= kMax);
    constexpr int padded = power_of_two_from(n), lanes = kWarpSize / padded;
    T own[padded] = {};
#pragma unroll
    for (int k = 0; k < n; ++k) own[k] = values[k];
    deal_out<padded>(own, [](T a, T b) { return a + b; });
    const int lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize;
    turn_ ^= 1;
    if (lane % lanes == 0 && lane / lanes < n) part(lane / lanes)[warp] = own[0];
    __syncthreads();
  }
  __device__ T total(int k) {
    T sum = 0;
    for (int warp = 0; warp < blockDim.x / kWarpSize; ++warp) sum += part(k)[warp];
    return sum;
  }

 private:
  __device__ T* part(int k) { return scratch_ + (turn_ * kMax + k) * kMaxHeldWarps; }
  T* scratch_;
  int turn_ = 0;
};

/// What the warps of a block give to the sums over each of kRows rows, gathered so that many rows'
/// sums are finished at once: put() waits for nobody. A barrier between put() and total(), another
/// one before put() writes again, are the caller's.
/// @tparam n  values of a row
template <int kRows, int n>
class RowSums {
 public:
  static constexpr int kScratch = kRows * n * kMaxHeldWarps;
  /// @param scratch  shared memory, [kScratch]
  __device__ explicit RowSums(double* scratch) : scratch_(scratch) {}

  /// All threads of a warp take part.
  /// @param values  [n_rows * n], the thread's part of the rows from `first` on
  template <int n_values>
  __device__ void put(int first, const double (&values)[n_values]) {
    constexpr int padded = power_of_two_from(n_values),
                  kept = padded > kWarpSize ? padded / kWarpSize : 1,
                  lanes = padded > kWarpSize ? 1 : kWarpSize / padded;
    double own[padded] = {};
#pragma unroll
    for (int i = 0; i < n_values; ++i) own[i] = values[i];
    deal_out<padded>(own, [](double a, double b) { return a + b; });
    const int lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize;
    if (lane % lanes != 0) return;
#pragma unroll
    for (int j = 0; j < kept; ++j) {
      const int i = lane / lanes * kept + j;
      if (i < n_values) scratch_[(first * n + i) * kMaxHeldWarps + warp] = own[j];
    }
  }
  /// Of value k of a row, over the block.
  __device__ double total(int row, int k) const {
    const double* const parts = scratch_ + (row * n + k) * kMaxHeldWarps;
    double sum = 0.0;
    for (int warp = 0; warp < blockDim.x / kWarpSize; ++warp) sum += parts[warp];
    return sum;
  }

 private:
  double* scratch_;
};

}  // namespace deadray::kernels::cuda
