#include "kernels/operations/directional_variance.h"

#include <algorithm>
#include <type_traits>

#include "kernels/cuda/cuda_operation.cuh"
#include "kernels/cuda/held_rows.cuh"
#include "kernels/cuda/row_statistics.cuh"

// <v, h> = scale * (sum w_i (x_i - mean) - correction * sum w_i) + sum v_i offset_i with w = v
// gamma: two sweeps over a row, the second for its statistics and all projections.
//
// Calculated, not measured: while an H100 reads memory at 3.0 TB/s (12.9 bytes a processor and
// clock), K = 1 and K = 4 directions take of what else it has, in percent,
//                                                         FP32 rows     bf16 rows
//   FP64 arithmetic, 3 + K instructions of 64 a clock     20 and 35     40 and 71
//   first-level cache, 8 K bytes of weights a column
//     of kRows rows, of 128 a clock                       10 and 40     20 and 80
//   widening, 16 a clock, whatever K                         20            41
namespace deadray::kernels::cuda {
namespace {

/// For which the rows are read once.
constexpr int kMaxDirections = 4;
/// Most blocks, each with moments of its own.
constexpr std::int64_t kPartials = 2112;

/// What the projections along at most kMaxDirections need, in the workspace.
struct Weights {
  double* values;            ///< w [n, hidden_size], in the order of the chunks
  double* sums;              ///< sum_i w_i [n]
  double* constants;         ///< sum_i v_i offset_i [n]
  unsigned n;                ///< directions
  RunningMoments* partials;  ///< [blocks, n]
};

/// A block for each direction; one too many is the last one again. Values lie in chunks of `width`
/// columns, so that a warp that takes neighbouring chunks finds their same pairs side by side.
__global__ void prepare_weights_kernel(const double* directions, std::int64_t hidden_size,
                                       NormArguments norm, int width, Weights weights) {
  __shared__ double scratch[kMaxWarps * 2];
  const std::int64_t k = blockIdx.x, n_chunks = hidden_size / width;
  const int group = width > 1 ? 2 : 1;
  double sums[2] = {};
  for (std::int64_t i = threadIdx.x; i < hidden_size; i += blockDim.x) {
    const double v = directions[(k < weights.n ? k : weights.n - 1) * hidden_size + i],
                 w = v * norm_gamma(norm, i);
    const std::int64_t chunk = i / width, e = i % width;
    weights.values[k * hidden_size + (e / group * n_chunks + chunk) * group + e % group] = w;
    sums[0] += w;
    sums[1] += v * norm_offset(norm, i);
  }
  block_sum(sums, scratch);
  if (threadIdx.x == 0) weights.sums[k] = sums[0], weights.constants[k] = sums[1];
}

template <typename T>
constexpr int kWidth = 16 / sizeof(T);  // elements of one load

/// What a block holds at once, 32 to 128 bytes a thread; as many are being loaded. 128 registers
/// leave no room for more.
template <typename T>
constexpr int kRows = sizeof(T) == 8 ? 1 : 2;
template <typename T, int n_directions>
constexpr int kColumns = sizeof(T) == 8 || n_directions > 2 ? 8 : 16;
template <typename T, int n_directions>
using Held = HeldRows<T, kWidth<T>, kRows<T>, kColumns<T, n_directions>>;

/// Any number near the mean will do as the centre of a row, and FP32 needs no widening.
template <typename T>
using Centre = std::conditional_t<sizeof(T) == 8, double, float>;

/// The thread's part of the mean of each row. Elements are scaled before they are added: the sum
/// itself may overflow FP32.
template <typename T, int n_rows, typename HeldRowsOfT>
__device__ void add_means(const HeldRowsOfT& held, std::int64_t n, Centre<T> (&means)[n_rows]) {
  const Centre<T> share = Centre<T>{1} / static_cast<Centre<T>>(n);
  held.for_each_pair(n, [&](int, unsigned, int, const T(&pair)[n_rows][2]) {
#pragma unroll
    for (int r = 0; r < n_rows; ++r) {
      means[r] += static_cast<Centre<T>>(widen(pair[r][0])) * share;
      means[r] += static_cast<Centre<T>>(widen(pair[r][1])) * share;
    }
  });
}

/// The thread's part of the sums over each row about its centre: of d, of d^2, and of w_k d for
/// each direction; sums [n_rows][2 + n_directions].
template <typename T, int n_directions, int n_rows, typename HeldRowsOfT>
__device__ void add_sums(const HeldRowsOfT& held, std::int64_t n, const double (&centre)[n_rows],
                         const double2* values, double* sums) {
  constexpr int n_sums = 2 + n_directions;
  const auto n_chunks = static_cast<unsigned>(n / kWidth<T>);
  held.for_each_pair(n, [&](int, unsigned chunk, int place, const T(&pair)[n_rows][2]) {
    double d[n_rows][2];
#pragma unroll
    for (int r = 0; r < n_rows; ++r) {
      d[r][0] = widen(pair[r][0]) - centre[r], d[r][1] = widen(pair[r][1]) - centre[r];
      sums[r * n_sums] += d[r][0] + d[r][1];
      // Two fused multiply-adds, where += would take three instructions.
      sums[r * n_sums + 1] = d[r][0] * d[r][0] + (d[r][1] * d[r][1] + sums[r * n_sums + 1]);
    }
#pragma unroll
    for (int k = 0; k < n_directions; ++k) {
      const double2 w = values[(k * (kWidth<T> / 2) + place) * n_chunks + chunk];
#pragma unroll
      for (int r = 0; r < n_rows; ++r) {
        double& dot = sums[r * n_sums + 2 + k];
        dot = w.x * d[r][0] + (w.y * d[r][1] + dot);
      }
    }
  });
}

/// A block keeps some rows in registers while the next ones are on their way. It adds <v_k, gamma
/// z> of each to moments of its own, of which thread k has the k-th.
template <typename T, int n_directions>
__global__ void __launch_bounds__(kMaxHeldThreads, 1)
    directional_variance_kernel(const T* x, Rows rows, NormType type, double eps, Weights weights) {
  constexpr int n_rows = kRows<T>, n_sums = 2 + n_directions;
  using CentreSums = BlockSums<Centre<T>, n_rows>;
  using Sums = BlockSums<double, n_rows * n_sums>;
  __shared__ Centre<T> centre_scratch[CentreSums::kScratch];
  __shared__ double sums_scratch[Sums::kScratch], own_scratch[3 * n_directions];
  CentreSums centre_sums(centre_scratch);
  Sums block_sums(sums_scratch);
  const std::int64_t n = rows.hidden_size, step = std::int64_t{gridDim.x} * n_rows;
  const auto* values = reinterpret_cast<const double2*>(weights.values);
  // Not in registers, of which there are none too many.
  auto* const own = reinterpret_cast<RunningMoments*>(own_scratch) + threadIdx.x;
  if (threadIdx.x < weights.n) *own = RunningMoments{};
  Held<T, n_directions> held, next;
  held.load(x, rows, std::int64_t{blockIdx.x} * n_rows);
  for (std::int64_t t = std::int64_t{blockIdx.x} * n_rows; t < rows.n_tokens;
       t += step, held = next) {
    next.load(x, rows, t + step);
    double centre[n_rows] = {}, sums[n_rows * n_sums] = {};
    if (type == NormType::layernorm) {
      Centre<T> means[n_rows] = {};
      add_means<T>(held, n, means);
      centre_sums.share(means);
#pragma unroll
      for (int r = 0; r < n_rows; ++r) centre[r] = static_cast<double>(centre_sums.total(r));
    }
    add_sums<T, n_directions>(held, n, centre, values, sums);
    block_sums.share(sums);
    if (threadIdx.x >= weights.n) continue;  // the others go on to the next rows
    for (int r = 0; r < n_rows && t + r < rows.n_tokens; ++r) {
      const auto sum = [&](int k) { return block_sums.total(r * n_sums + k); };
      const double mean =
          type == NormType::layernorm ? static_cast<double>(centre_sums.total(r)) : 0.0;
      const RowStatistics row = type == NormType::layernorm
                                    ? layernorm_statistics(mean, sum(0), sum(1), n, eps)
                                : type == NormType::rmsnorm ? rmsnorm_statistics(sum(1), n, eps)
                                                            : identity_statistics();
      own->add(projection(sum(2 + threadIdx.x), weights.sums[threadIdx.x], row));
    }
  }
  if (threadIdx.x < weights.n) weights.partials[blockIdx.x * weights.n + threadIdx.x] = *own;
}

/// The same for rows of any width and alignment, read again from memory or its caches for each
/// sweep; one row a block.
template <typename T>
__global__ void any_directional_variance_kernel(const T* x, Rows rows, NormType type, double eps,
                                                Weights weights) {
  __shared__ double scratch[kMaxWarps * kMaxDirections];
  RunningMoments own;
  for (std::int64_t t = blockIdx.x; t < rows.n_tokens; t += gridDim.x) {
    const T* row[1] = {x + t * rows.row_stride};
    RowStatistics statistics[1];
    block_row_statistics(row, rows.hidden_size, type, eps, scratch, statistics);
    double dots[kMaxDirections] = {};
    for (std::int64_t i = threadIdx.x; i < rows.hidden_size; i += blockDim.x) {
      const double z = normalised(widen(row[0][i]), statistics[0]);
#pragma unroll
      for (unsigned k = 0; k < kMaxDirections; ++k) {
        if (k < weights.n) dots[k] += weights.values[k * rows.hidden_size + i] * z;
      }
    }
    block_sum(dots, scratch);
#pragma unroll
    for (unsigned k = 0; k < kMaxDirections; ++k) {
      if (threadIdx.x == k) own.add(dots[k]);
    }
  }
  if (threadIdx.x < weights.n) weights.partials[blockIdx.x * weights.n + threadIdx.x] = own;
}

/// moments[k] takes in the blocks' moments, moved by the constant part of <v_k, h>: added here, it
/// costs the deviations no digit.
__global__ void merge_partials_kernel(Weights weights, std::int64_t n_partials,
                                      RunningMoments* moments) {
  RunningMoments* const shared = dynamic_shared<RunningMoments>();
  const std::int64_t k = blockIdx.x;
  RunningMoments total;
  for (std::int64_t b = threadIdx.x; b < n_partials; b += blockDim.x)
    total.merge(weights.partials[b * weights.n + k]);
  shared[threadIdx.x] = total;
  for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) shared[threadIdx.x].merge(shared[threadIdx.x + half]);
  }
  if (threadIdx.x > 0) return;
  shared[0].mean += weights.constants[k];
  moments[k].merge(shared[0]);
}

/// Directions for which the rows are read once. A block that has two in registers holds longer rows
/// than one that has four; a row that none can hold is read with four as well.
std::int64_t directions_at_once(const Rows& rows) {
  std::int64_t count = kMaxDirections;
  with_element_type(rows, [&](const auto* x) {
    using T = std::remove_const_t<std::remove_pointer_t<decltype(x)>>;
    if (!Held<T, kMaxDirections>::can_hold(rows) && Held<T, 2>::can_hold(rows)) count = 2;
  });
  return count;
}

}  // namespace

std::size_t directional_variance_workspace(std::int64_t n_directions, std::int64_t hidden_size) {
  const std::int64_t n = n_directions > 2 ? kMaxDirections : n_directions;
  return static_cast<std::size_t>(n * (hidden_size + hidden_size % 2 + 2)) * sizeof(double) +
         static_cast<std::size_t>(kPartials * n) * sizeof(RunningMoments);
}

void directional_variance(const Rows& rows, const NormArguments& norm, const double* directions,
                          std::int64_t n_directions, RunningMoments* moments, void* workspace,
                          Stream stream) {
  if (rows.n_tokens == 0 || rows.hidden_size == 0) return;  // an empty grid is a launch error
  const Operation operation("directional_variance", {{"n_tokens", rows.n_tokens},
                                                     {"hidden_size", rows.hidden_size},
                                                     {"n_directions", n_directions}});
  const auto measure = [&](const auto* x, auto at_once, Weights weights, RunningMoments* out) {
    using T = std::remove_const_t<std::remove_pointer_t<decltype(x)>>;
    constexpr int n_at_once = decltype(at_once)::value, n_rows = kRows<T>;
    const bool held = Held<T, n_at_once>::can_hold(rows);
    const auto kernel =
        held ? directional_variance_kernel<T, n_at_once> : any_directional_variance_kernel<T>;
    const unsigned threads =
        held ? Held<T, n_at_once>::threads_for(rows.hidden_size) : threads_for(rows.hidden_size);
    const std::int64_t groups = held ? (rows.n_tokens + n_rows - 1) / n_rows : rows.n_tokens;
    const std::int64_t blocks =
        std::min({groups, kPartials, operation.resident_blocks(kernel, threads)});
    operation.launch(prepare_weights_kernel, {n_at_once, kWarpSize * kMaxWarps, 0, stream},
                     directions, rows.hidden_size, norm, held ? kWidth<T> : 1, weights);
    operation.launch(kernel, {static_cast<unsigned>(blocks), threads, 0, stream}, x, rows,
                     norm.type, norm.eps, weights);
    operation.launch(merge_partials_kernel, {weights.n, 256, 256 * sizeof(RunningMoments), stream},
                     weights, blocks, out);
  };
  const std::int64_t most = directions_at_once(rows);
  for (std::int64_t first = 0; first < n_directions;
       first += most, directions += most * rows.hidden_size) {
    const auto n = static_cast<unsigned>(std::min(most, n_directions - first));
    auto* values = static_cast<double*>(workspace);
    const unsigned padded = n > 2 ? kMaxDirections : n;
    double* const sums = values + padded * (rows.hidden_size + rows.hidden_size % 2);
    const Weights weights = {values, sums, sums + padded, n,
                             reinterpret_cast<RunningMoments*>(sums + 2 * padded)};
    with_element_type(rows, [&](auto x) {
      if (n == 1) return measure(x, std::integral_constant<int, 1>{}, weights, moments + first);
      if (n == 2) return measure(x, std::integral_constant<int, 2>{}, weights, moments + first);
      measure(x, std::integral_constant<int, 4>{}, weights, moments + first);
    });
  }
}

}  // namespace deadray::kernels::cuda
