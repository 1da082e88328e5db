#pragma once

#include <cstring>

#include "kernels/arithmetic/rows.h"
#include "kernels/cuda/cuda_operation.cuh"
#include "kernels/cuda/warp.cuh"

/// Rows in the registers of a block, and sums over blocks with one barrier each. A row is read from
/// memory once, whatever is done with it then. For blocks of whole warps, at most kMaxHeldWarps of
/// them.
namespace deadray::kernels::cuda {

constexpr int kMaxHeldWarps = 16,
              kMaxHeldThreads =
                  kWarpSize * kMaxHeldWarps;  // of a block; each thread then has 128 registers

template <int bytes>
struct Word;
template <>
struct Word<4> {
  using Type = unsigned;
};
template <>
struct Word<8> {
  using Type = uint2;
};
template <>
struct Word<16> {
  using Type = uint4;
};

inline bool is_aligned(const void* place, std::size_t bytes) {
  return reinterpret_cast<std::uintptr_t>(place) % bytes == 0;
}

/// n_rows rows, of each n_columns elements a thread: chunks of `width` consecutive elements that
/// come in one load, chunk threadIdx.x, then threadIdx.x + blockDim.x, and so on.
template <typename T, int width, int n_rows, int n_columns>
class HeldRows {
 public:
  static constexpr int kColumns = n_columns;
  static constexpr std::int64_t kMaxHiddenSize = std::int64_t{kMaxHeldThreads} * n_columns;
  /// What the loads need; other rows are read element by element by some other kernel.
  static bool can_hold(const Rows& rows) {
    return rows.hidden_size <= kMaxHiddenSize && rows.hidden_size % width == 0 &&
           rows.row_stride % width == 0 && is_aligned(rows.data, width * sizeof(T));
  }
  static unsigned threads_for(std::int64_t hidden_size) {
    constexpr int kOfWarp = kWarpSize * n_columns;
    return static_cast<unsigned>((hidden_size + kOfWarp - 1) / kOfWarp * kWarpSize);
  }

  /// Rows first … first + n_rows; zeros past the last one. Nothing waits for the loads before the
  /// elements are used.
  __device__ void load(const T* x, const Rows& rows, std::int64_t first) {
    const auto n_chunks = static_cast<unsigned>(rows.hidden_size / width);
#pragma unroll
    for (int r = 0; r < n_rows; ++r) {
      const T* row = x + (first + r) * rows.row_stride;
#pragma unroll
      for (int v = 0; v < kChunks; ++v) {
        const unsigned c = v * blockDim.x + threadIdx.x;
        const bool present = first + r < rows.n_tokens && c < n_chunks;
        words_[r][v] = present ? __ldcs(reinterpret_cast<const Vector*>(row) + c)
                               : Vector{};  // streamed: the caches keep the weights
      }
    }
  }

  /// f(slot, chunk, pair, x) for each two neighbours that this thread has: x[r] are the elements 2
  /// * pair and 2 * pair + 1 of the chunk in row r; slot, their index among the thread's own, is a
  /// constant when all is unrolled.
  template <typename F>
  __device__ void for_each_pair(std::int64_t hidden_size, F&& f) const {
    const auto n_chunks = static_cast<unsigned>(hidden_size / width);
#pragma unroll
    for (int v = 0; v < kChunks; ++v) {
      const unsigned c = v * blockDim.x + threadIdx.x;
      if (c >= n_chunks) continue;
#pragma unroll
      for (int pair = 0; pair < width / 2; ++pair) {
        T x[n_rows][2];
#pragma unroll
        for (int r = 0; r < n_rows; ++r) {
          T chunk[width];
          std::memcpy(chunk, &words_[r][v], sizeof chunk);
          x[r][0] = chunk[2 * pair], x[r][1] = chunk[2 * pair + 1];
        }
        f(v * width + 2 * pair, c, pair, x);
      }
    }
  }

 private:
  static constexpr int kChunks = n_columns / width;
  using Vector = typename Word<width * sizeof(T)>::Type;
  Vector words_[n_rows][kChunks];
};

/// Sums over a warp of n values a lane, n a power of two up to 32: lane l gets that of values[l /
/// (32 / n)], by 31 exchanges where n butterflies would take 5 n. The order is fixed.
template <int n, int bit = kWarpSize / 2, typename T>
__device__ T warp_sums(T* values) {
  if constexpr (bit == 0) {
    return values[0];
  } else if constexpr (n == 1) {
    values[0] += __shfl_xor_sync(kAllLanes, values[0], bit);
    return warp_sums<1, bit / 2>(values);
  } else {
    const bool upper = (threadIdx.x & bit) != 0;
#pragma unroll
    for (int k = 0; k < n / 2; ++k) {
      const T other = __shfl_xor_sync(kAllLanes, upper ? values[k] : values[k + n / 2], bit);
      values[k] = (upper ? values[k + n / 2] : values[k]) + other;
    }
    return warp_sums<n / 2, bit / 2>(values);
  }
}

constexpr int power_of_two_from(int n) { return n <= 1 ? 1 : 2 * power_of_two_from((n + 1) / 2); }

/// Sums over a block of up to kMax values a thread. Two halves of the memory in turn: who still
/// reads one sum is past no barrier of the next.
template <typename T, int kMax>
class BlockSums {
 public:
  static constexpr int kScratch = 2 * kMax * kMaxHeldWarps;
  __device__ explicit BlockSums(T* scratch) : scratch_(scratch) {}  ///< shared memory, [kScratch]

  /// All threads take part; total(k) is then the block's sum of values[k].
  template <int n>
  __device__ void share(const T (&values)[n]) {
    static_assert(n <= kMax);
    constexpr int padded = power_of_two_from(n), lanes = kWarpSize / padded;
    T own[padded] = {};
#pragma unroll
    for (int k = 0; k < n; ++k) own[k] = values[k];
    const T sum = warp_sums<padded>(own);
    const int lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize;
    turn_ ^= 1;
    if (lane % lanes == 0 && lane / lanes < n) part(lane / lanes)[warp] = sum;
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

}  // namespace deadray::kernels::cuda
