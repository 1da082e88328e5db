#pragma once

#include <cstring>

#include "kernels/arithmetic/rows.h"
#include "kernels/cuda/block_sums.cuh"

/// Rows in the registers of a block of whole warps, at most kMaxHeldWarps of them. A row is read
/// from memory once, whatever is done with it then.
namespace deadray::kernels::cuda {

/// What one load brings, by its size.
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

/// n_rows rows; of each, a thread of at most max_threads has n_columns elements. They come in
/// chunks of `width` neighbours, a load each: chunk threadIdx.x, then threadIdx.x + blockDim.x, and
/// so on.
template <typename T, int width, int n_rows, int n_columns, int max_threads = kMaxHeldThreads>
class HeldRows {
 public:
  static constexpr int kColumns = n_columns;
  static constexpr std::int64_t kMaxHiddenSize = std::int64_t{max_threads} * n_columns;
  /// Whether the loads can read these rows. Others are left to kernels that read single elements.
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
        // Streamed past the caches, which keep the weights.
        words_[r][v] = present ? __ldcs(reinterpret_cast<const Vector*>(row) + c) : Vector{};
      }
    }
  }

  /// Calls f(slot, chunk, pair, x) for each two neighbours that this thread has. In row r they are
  /// x[r], the elements 2 pair and 2 pair + 1 of the chunk. `slot` is the index of the first among
  /// the thread's own; it is a constant once all is unrolled.
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

}  // namespace deadray::kernels::cuda
