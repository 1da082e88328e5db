#pragma once

#include <climits>
#include <limits>

#include "kernels/arithmetic/head_fisher_arithmetic.h"
#include "kernels/arithmetic/rows.h"
#include "kernels/cuda/warp.cuh"

/// Takes a tile of products W h into the softmax moments of its tokens. A block has kRows tokens at
/// once, so that an entry of the directions is loaded once for all of them, and kDirections
/// directions. It goes through its columns kStepBytes of logits a token at a time: the champions
/// first, then the sums over the rest.
///
/// At 8 directions in FP32 a logit costs 16 multiply-adds and, as compiled for sm_90, 32 other
/// instructions, 11 of them its share of the sums over the block. It costs 4 + 32 / kRows bytes
/// from the second-level cache, less what blocks on one processor find of each other's in its L1.
namespace deadray::kernels::cuda {

constexpr int kFoldWarps = 4, kFoldThreads = kFoldWarps * kWarpSize;
constexpr int kRows = 4, kDirections = 8;
// Lane r * kDirections + k ends with the sums of token r and direction k.
static_assert(kRows * kDirections == kWarpSize);
constexpr int kStepBytes = 8192;

/// One entry of kDirections directions, in their frames.
template <typename Real>
struct alignas(16) DirectionEntry {
  Real delta[kDirections];
};

/// What the fold of a tile of products reads and writes.
template <typename T, typename Real>
struct Fold {
  const T* products;  ///< [n_tokens, n_columns]
  std::int64_t row_stride, n_tokens, n_columns;
  LogitRule<Real> rule;
  const double* bias;                   ///< [n_columns] or null
  const DirectionEntry<Real>* entries;  ///< [n_chunks, n_columns], chunks `vocab` apart
  const DirectionFrame* frames;         ///< [n_chunks * kDirections]
  std::int64_t vocab;
  SoftmaxMoments* moments;  ///< [n_slices, n_tokens, n_chunks * kDirections]
  bool first;               ///< nothing has been folded before: `moments` are not read
};

/// The largest value of a row so far and its column; INT_MAX before any.
template <typename Real>
struct Champion {
  Real value;
  int column;
};

template <typename Real>
__device__ Champion<Real> better(const Champion<Real>& a, const Champion<Real>& b) {
  return b.value > a.value || (b.value == a.value && b.column < a.column) ? b : a;
}

template <typename Real>
__device__ Champion<Real> from_lane(const Champion<Real>& own, int bit) {
  return {from_lane(own.value, bit), __shfl_xor_sync(kAllLanes, own.column, bit)};
}

/// Leaves the warps' champions in shared memory.
template <typename Real>
__device__ void share_champions(const Champion<Real> (&own)[kRows],
                                Champion<Real> (*champions)[kRows]) {
  Champion<Real> dealt[kRows];
  for (int r = 0; r < kRows; ++r) dealt[r] = own[r];
  deal_out<kRows>(dealt, better<Real>);
  if (threadIdx.x % kDirections == 0)
    champions[threadIdx.x / kWarpSize][threadIdx.x % kWarpSize / kDirections] = dealt[0];
  __syncthreads();
}

template <typename Real>
__device__ Champion<Real> block_champion(const Champion<Real> (*champions)[kRows], int r) {
  Champion<Real> best = champions[0][r];
  for (int w = 1; w < kFoldWarps; ++w) best = better(best, champions[w][r]);
  return best;
}

template <bool capped, typename Real>
__device__ Logit<Real> logit_of(Real z, const LogitRule<Real>& rule) {
  if (capped) return capped_logit(z, rule);
  return {z, Real{1}};
}

/// Loads past the first-level cache, which is for the directions.
__device__ inline double streamed(const double* x) { return __ldcg(x); }
__device__ inline float streamed(const float* x) { return __ldcg(x); }
__device__ inline float streamed(const BFloat16* x) {
  return static_cast<float>(widen(BFloat16{__ldcg(&x->bits)}));
}

/// z = scale * product + scaled bias for the thread's columns of a step, and the largest of each
/// row.
/// @param products  of each row, at the thread's first column: to one address a row the steps of an
/// unrolled loop add constants
template <int step, typename T, typename Real, typename Bias>
__device__ void put_columns(const T* (&products)[kRows], int n, Bias scaled_bias, Real scale,
                            Real (*z)[step], Champion<Real> (&own)[kRows]) {
  for (int c = threadIdx.x; c < n; c += kFoldThreads) {
    const Real bias = scaled_bias(c);
    for (int r = 0; r < kRows; ++r) {
      const Real value = scale * streamed(products[r]) + bias;
      products[r] += kFoldThreads;
      z[r][c] = value;
      if (value > own[r].value) own[r] = {value, c};
    }
  }
}

/// Sums of one thread: mass [r], moments [r][k][D, D^2].
template <typename Real>
struct Sums {
  Real mass[kRows], moments[kRows * kDirections * 2];
};

/// Adds the thread's columns of a step; z [kRows, step].
template <bool capped, int step, typename Real>
__device__ void add_columns(const Real (*z)[step], int n, const DirectionEntry<Real>* entries,
                            const Real* ratios, const LogitRule<Real>& rule,
                            const Logit<Real> (&best)[kRows], Sums<Real>& sums) {
  for (int c = threadIdx.x; c < n; c += kFoldThreads) {
    const DirectionEntry<Real> entry = entries[c];
    for (int r = 0; r < kRows; ++r) {
      const Logit<Real> own = logit_of<capped>(z[r][c], rule);
      const Real weight = softmax_weight(own.value - best[r].value);
      sums.mass[r] += weight;
      for (int k = 0; k < kDirections; ++k) {
        const Real d = capped
                           ? centred_derivative(entry.delta[k], own.slope, best[r].slope, ratios[k])
                           : entry.delta[k];
        Real* const sum = sums.moments + (r * kDirections + k) * 2;
        sum[0] += weight * d;
        sum[1] += weight * (d * d);
      }
    }
  }
}

/// Logits before the cap, z, for the thread's columns of the step of n columns from `first` on, and
/// the thread's champions among them.
template <int step, typename T, typename Real>
__device__ void load_step(const Fold<T, Real>& fold, const T* const (&row)[kRows],
                          std::int64_t first, int n, Real (*z)[step],
                          Champion<Real> (&own)[kRows]) {
  for (int r = 0; r < kRows; ++r) own[r] = {-std::numeric_limits<Real>::infinity(), INT_MAX};
  const T* from[kRows];
  for (int r = 0; r < kRows; ++r) from[r] = row[r] + first + threadIdx.x;
  if (fold.bias) {
    const auto scaled_bias = [&, bias = fold.bias + first](int c) {
      return fold.rule.scale * static_cast<Real>(bias[c]);
    };
    put_columns(from, n, scaled_bias, fold.rule.scale, z, own);
  } else {
    put_columns(from, n, [](int) { return Real{0}; }, fold.rule.scale, z, own);
  }
}

/// The logits of the block's champions; 0 where all entries are masked, for weights of exp(-inf). A
/// champion's weight is 1 and known: it leaves z, whose sums are then of the rest. Each thread
/// wrote, and will read, its own columns alone.
template <bool capped, int step, typename Real>
__device__ void take_champions(const Champion<Real> (*champions)[kRows],
                               const Champion<Real> (&own)[kRows], const LogitRule<Real>& rule,
                               Real (*z)[step], Logit<Real> (&top)[kRows]) {
  for (int r = 0; r < kRows; ++r) {
    const Champion<Real> best = block_champion(champions, r);
    const bool any = best.column != INT_MAX;
    if (any && own[r].column == best.column)
      z[r][best.column] = -std::numeric_limits<Real>::infinity();
    top[r] = logit_of<capped>(any ? best.value : Real{0}, rule);
  }
}

/// Leaves the warps' sums in shared memory, those of a token and a direction in their lane's place.
template <typename Real>
__device__ void share_sums(Sums<Real>& sums, double (*totals)[3][kWarpSize]) {
  const int lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize;
  const auto add = [](Real a, Real b) { return a + b; };
  deal_out<kRows>(sums.mass, add);
  deal_out<kRows * kDirections * 2>(sums.moments, add);
  totals[warp][0][lane] = sums.mass[0];
  totals[warp][1][lane] = sums.moments[0];
  totals[warp][2][lane] = sums.moments[1];
  __syncthreads();
}

/// What the step adds to the moments of this lane's token and direction.
template <bool capped, typename Real>
__device__ SoftmaxMoments step_moments(const Champion<Real>& champion,
                                       const DirectionEntry<Real>* entries, int own_direction,
                                       double own_ratio, const LogitRule<Real>& rule,
                                       const double (*totals)[3][kWarpSize]) {
  double total[3] = {};
  for (int w = 0; w < kFoldWarps; ++w)
    for (int i = 0; i < 3; ++i) total[i] += totals[w][i][threadIdx.x % kWarpSize];
  const Logit<Real> at = logit_of<capped>(champion.value, rule);
  const double delta = champion.column != INT_MAX
                           ? static_cast<double>(entries[champion.column].delta[own_direction])
                           : 0.0;
  return piece_moments({at.value, at.slope}, delta, own_ratio, total[0], total[1], total[2]);
}

template <typename T, typename Real, bool capped>
__global__ void __launch_bounds__(kFoldThreads, sizeof(Real) == 4 ? 4 : 2)
    softmax_fold_kernel(Fold<T, Real> fold) {
  constexpr int kStep = kStepBytes / sizeof(Real);
  __shared__ Real z[kRows][kStep];
  __shared__ Real ratios[kDirections];
  __shared__ Champion<Real> champions[kFoldWarps][kRows];
  __shared__ double totals[kFoldWarps][3][kWarpSize];
  const int lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize,
            own_row = lane / kDirections, own_direction = lane % kDirections;
  const std::int64_t chunk = blockIdx.z, n_directions = std::int64_t{gridDim.z} * kDirections,
                     first_token = std::int64_t{blockIdx.x} * kRows;
  const double own_ratio = fold.frames[chunk * kDirections + own_direction].ratio();
  if (threadIdx.x < kDirections) ratios[own_direction] = static_cast<Real>(own_ratio);
  const T* row[kRows];  // past the last token: that one again, its moments go nowhere
  for (int r = 0; r < kRows; ++r)
    row[r] =
        fold.products +
        (first_token + r < fold.n_tokens ? first_token + r : fold.n_tokens - 1) * fold.row_stride;

  bool fresh = fold.first;
  for (std::int64_t first = std::int64_t{blockIdx.y} * kStep; first < fold.n_columns;
       first += std::int64_t{gridDim.y} * kStep) {
    const int n = fold.n_columns - first < kStep ? static_cast<int>(fold.n_columns - first) : kStep;
    const DirectionEntry<Real>* const entries = fold.entries + chunk * fold.vocab + first;
    Champion<Real> own[kRows];
    load_step(fold, row, first, n, z, own);
    share_champions(own, champions);
    Logit<Real> top[kRows];
    take_champions<capped>(champions, own, fold.rule, z, top);
    const Champion<Real> champion = block_champion(champions, own_row);
    Sums<Real> sums = {};
    add_columns<capped>(z, n, entries, ratios, fold.rule, top, sums);
    share_sums(sums, totals);
    if (warp == 0 && first_token + own_row < fold.n_tokens) {
      SoftmaxMoments* const place =
          fold.moments + ((blockIdx.y * fold.n_tokens + first_token + own_row) * n_directions +
                          chunk * kDirections + own_direction);
      const SoftmaxMoments step =
          step_moments<capped>(champion, entries, own_direction, own_ratio, fold.rule, totals);
      SoftmaxMoments moments = fresh ? SoftmaxMoments{} : *place;
      moments.merge(step);
      *place = moments;
    }
    fresh = false;
  }
}

}  // namespace deadray::kernels::cuda
