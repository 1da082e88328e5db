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
// clock), K directions take of what else it has, in percent,
//                                                    FP32 rows          bf16 rows
//                                               K =  1    4    8        1    4    8
//   FP64 arithmetic, 3 + K instructions of 64
//     a clock                                       20   35   55       40   71  111
//   first-level cache, 8 K bytes of weights a
//     column of kRows rows, of 128 a clock          10   40   40       20   80   80
//   widening, 16 a clock, whatever K                20   20   20       41   41   41
// Weights of more than about 128 KiB would not stay in the first-level cache, and the second one
// brings a processor some 30 bytes a clock: so 8 directions up to 2048 columns, 4 up to 4096, 2 up
// to 8192. More directions are another pass over the rows.
namespace deadray::kernels::cuda {
namespace {

/// For which the rows are read once.
constexpr int kMaxDirections = 8;
/// The same for rows that a block does not hold.
constexpr int kAnyDirections = 4;
/// Most blocks, each with moments of its own.
constexpr std::int64_t kPartials = 2112;
/// Rows whose sums a block gathers before it makes statistics and projections of them, a thread for
/// each row and direction: square roots and divisions of one row would keep all others waiting.
constexpr int kTailRows = 16;

std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// Directions with those that fill up the last pass.
std::int64_t padded(std::int64_t n_directions) {
  return n_directions <= 2 ? n_directions
                           : divide_up(n_directions, kMaxDirections) * kMaxDirections;
}
std::int64_t padded_columns(std::int64_t hidden_size) { return hidden_size + hidden_size % 2; }

/// What projections need, as prepare_directional_weights() leaves it.
struct Weights {
  double* values;     ///< w [padded, padded_columns], a direction in the order of the chunks
  double* sums;       ///< sum_i w_i [padded]
  double* constants;  ///< sum_i v_i offset_i [padded]

  Weights(void* weights, std::int64_t n_directions, std::int64_t hidden_size)
      : values(static_cast<double*>(weights)),
        sums(values + padded(n_directions) * padded_columns(hidden_size)),
        constants(sums + padded(n_directions)) {}
};

/// Those of one pass over the rows.
struct PassWeights {
  const double *values, *sums, *constants;
  std::int64_t stride;       ///< of values
  unsigned n;                ///< directions
  RunningMoments* partials;  ///< [blocks, n]
};

/// Columns of a chunk: of one load, where hidden_size is a multiple of it.
template <typename T>
constexpr int kWidth = 16 / sizeof(T);
std::int64_t width_of(ElementType type, std::int64_t hidden_size) {
  const int width = type == ElementType::float64   ? kWidth<double>
                    : type == ElementType::float32 ? kWidth<float>
                                                   : kWidth<BFloat16>;
  return hidden_size % width == 0 ? width : 1;
}

/// Where column i lies among the values of a direction: in chunks of `width` columns, so that a
/// warp that takes neighbouring chunks finds their same pairs side by side.
__device__ std::int64_t place_of(std::int64_t i, std::int64_t width, std::int64_t hidden_size) {
  if (width == 1) return i;
  const std::int64_t chunk = i / width, e = i % width;
  return (e / 2 * (hidden_size / width) + chunk) * 2 + e % 2;
}

/// A block for each direction; those beyond the last are the last one again.
__global__ void prepare_weights_kernel(const double* directions, std::int64_t n_directions,
                                       std::int64_t hidden_size, NormArguments norm,
                                       std::int64_t width, Weights weights, std::int64_t stride) {
  __shared__ double scratch[kMaxWarps * 2];
  const std::int64_t k = blockIdx.x;
  const double* const v = directions + (k < n_directions ? k : n_directions - 1) * hidden_size;
  double sums[2] = {};
  for (std::int64_t i = threadIdx.x; i < hidden_size; i += blockDim.x) {
    const double w = v[i] * norm_gamma(norm, i);
    weights.values[k * stride + place_of(i, width, hidden_size)] = w;
    sums[0] += w;
    sums[1] += v[i] * norm_offset(norm, i);
  }
  block_sum(sums, scratch);
  if (threadIdx.x == 0) weights.sums[k] = sums[0], weights.constants[k] = sums[1];
}

/// What a block holds at once; as much is being loaded. 512 threads of 128 registers each, for 8
/// directions 256 of 255.
template <typename T, int n_directions>
constexpr int kRows = (sizeof(T) == 8 ? 1 : 2) * (n_directions > 4 ? 2 : 1);
template <typename T, int n_directions>
constexpr int kColumns = sizeof(T) == 8 || n_directions > 2 ? 8 : 16;
template <int n_directions>
constexpr int kThreads = n_directions > 4 ? kMaxHeldThreads / 2 : kMaxHeldThreads;
template <typename T, int n_directions>
using Held = HeldRows<T, kWidth<T>, kRows<T, n_directions>, kColumns<T, n_directions>,
                      kThreads<n_directions>>;

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

/// Statistics and projections of n_rows rows whose sums are gathered, into `own` [kTailRows,
/// n_directions]: a thread for each row and direction.
template <int n_directions>
__device__ void add_projections(const RowSums<kTailRows, 2 + n_directions>& sums, int n_rows,
                                std::int64_t hidden_size, NormType type, double eps,
                                const double* weight_sums, RunningMoments* own) {
  for (int i = threadIdx.x; i < n_rows * n_directions; i += blockDim.x) {
    const int r = i / n_directions, k = i % n_directions;
    const double squares = sums.total(r, 1);
    // The projection asks for no mean: the sums are about it.
    const RowStatistics row =
        type == NormType::layernorm
            ? layernorm_statistics(0.0, sums.total(r, 0), squares, hidden_size, eps)
        : type == NormType::rmsnorm ? rmsnorm_statistics(squares, hidden_size, eps)
                                    : identity_statistics();
    own[i].add(projection(sums.total(r, 2 + k), weight_sums[k], row));
  }
}

/// A block keeps some rows in registers while the next ones are on their way. It adds <v_k, gamma
/// z> of each to moments of its own.
template <typename T, int n_directions>
__global__ void __launch_bounds__(kThreads<n_directions>, 1)
    directional_variance_kernel(const T* x, Rows rows, NormType type, double eps,
                                PassWeights weights) {
  constexpr int n_rows = kRows<T, n_directions>, n_sums = 2 + n_directions;
  static_assert(kTailRows % n_rows == 0);
  using CentreSums = BlockSums<Centre<T>, n_rows>;
  using Sums = RowSums<kTailRows, n_sums>;
  __shared__ Centre<T> centre_scratch[CentreSums::kScratch];
  __shared__ double sums_scratch[Sums::kScratch], own_scratch[3 * kTailRows * n_directions];
  CentreSums centre_sums(centre_scratch);
  Sums row_sums(sums_scratch);
  const std::int64_t n = rows.hidden_size, step = std::int64_t{gridDim.x} * n_rows;
  const auto* values = reinterpret_cast<const double2*>(weights.values);
  auto* const own = reinterpret_cast<RunningMoments*>(own_scratch);
  for (int i = threadIdx.x; i < kTailRows * n_directions; i += blockDim.x)
    own[i] = RunningMoments{};  // by the thread that adds to it
  int gathered = 0;
  const auto finish_gathered = [&] {
    __syncthreads();
    add_projections<n_directions>(row_sums, gathered, n, type, eps, weights.sums, own);
    gathered = 0;
    __syncthreads();
  };
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
    row_sums.put(gathered, sums);
    const std::int64_t left = rows.n_tokens - t;
    gathered += left < n_rows ? static_cast<int>(left) : n_rows;
    if (gathered > kTailRows - n_rows) finish_gathered();
  }
  finish_gathered();
  if (threadIdx.x >= weights.n) return;
  RunningMoments total;
  for (int r = 0; r < kTailRows; ++r) total.merge(own[r * n_directions + threadIdx.x]);
  weights.partials[blockIdx.x * weights.n + threadIdx.x] = total;
}

/// The same for rows of any width and alignment, read again from memory or its caches for each
/// sweep; one row a block.
template <typename T>
__global__ void any_directional_variance_kernel(const T* x, Rows rows, NormType type, double eps,
                                                PassWeights weights) {
  __shared__ double scratch[kMaxWarps * kAnyDirections];
  const std::int64_t width = rows.hidden_size % kWidth<T> == 0 ? kWidth<T> : 1;
  RunningMoments own;
  for (std::int64_t t = blockIdx.x; t < rows.n_tokens; t += gridDim.x) {
    const T* row[1] = {x + t * rows.row_stride};
    RowStatistics statistics[1];
    block_row_statistics(row, rows.hidden_size, type, eps, scratch, statistics);
    double dots[kAnyDirections] = {};
    for (std::int64_t i = threadIdx.x; i < rows.hidden_size; i += blockDim.x) {
      const double z = normalised(widen(row[0][i]), statistics[0]);
      const double* const w = weights.values + place_of(i, width, rows.hidden_size);
#pragma unroll
      for (unsigned k = 0; k < kAnyDirections; ++k) {
        if (k < weights.n) dots[k] += w[k * weights.stride] * z;
      }
    }
    block_sum(dots, scratch);
#pragma unroll
    for (unsigned k = 0; k < kAnyDirections; ++k) {
      if (threadIdx.x == k) own.add(dots[k]);
    }
  }
  if (threadIdx.x < weights.n) weights.partials[blockIdx.x * weights.n + threadIdx.x] = own;
}

/// moments[k] takes in the blocks' moments, moved by the constant part of <v_k, h>: added here, it
/// costs the deviations no digit.
__global__ void merge_partials_kernel(PassWeights weights, std::int64_t n_partials,
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

/// Directions of one pass over these rows: for which their weights stay in the first-level cache,
/// and the rows in registers. Rows that none can hold are read several times a pass.
std::int64_t directions_at_once(const Rows& rows) {
  std::int64_t count = kAnyDirections;
  with_element_type(rows, [&](const auto* x) {
    using T = std::remove_const_t<std::remove_pointer_t<decltype(x)>>;
    if (Held<T, kMaxDirections>::can_hold(rows)) {
      count = kMaxDirections;
    } else if (!Held<T, 4>::can_hold(rows) && Held<T, 2>::can_hold(rows)) {
      count = 2;
    }
  });
  return count;
}

}  // namespace

std::int64_t directional_variance_passes(const Rows& rows, std::int64_t n_directions) {
  return divide_up(n_directions, directions_at_once(rows));
}

std::size_t directional_weights_bytes(std::int64_t n_directions, std::int64_t hidden_size) {
  return static_cast<std::size_t>(padded(n_directions) * (padded_columns(hidden_size) + 2)) *
         sizeof(double);
}

void prepare_directional_weights(const NormArguments& norm, ElementType type,
                                 std::int64_t hidden_size, const double* directions,
                                 std::int64_t n_directions, void* weights, Stream stream) {
  if (n_directions == 0 || hidden_size == 0) return;  // an empty grid is a launch error
  const Operation operation("prepare_directional_weights",
                            {{"hidden_size", hidden_size}, {"n_directions", n_directions}});
  operation.launch(prepare_weights_kernel,
                   {static_cast<unsigned>(padded(n_directions)), kWarpSize * kMaxWarps, 0, stream},
                   directions, n_directions, hidden_size, norm, width_of(type, hidden_size),
                   Weights(weights, n_directions, hidden_size), padded_columns(hidden_size));
}

std::size_t directional_variance_workspace(std::int64_t n_directions) {
  return static_cast<std::size_t>(kPartials *
                                  std::min<std::int64_t>(n_directions, kMaxDirections)) *
         sizeof(RunningMoments);
}

void directional_variance(const Rows& rows, NormType type, double eps, const void* weights,
                          std::int64_t n_directions, RunningMoments* moments, void* workspace,
                          Stream stream) {
  if (rows.n_tokens == 0 || rows.hidden_size == 0) return;  // an empty grid is a launch error
  const Operation operation("directional_variance", {{"n_tokens", rows.n_tokens},
                                                     {"hidden_size", rows.hidden_size},
                                                     {"n_directions", n_directions}});
  const auto measure = [&](const auto* x, auto at_once, PassWeights pass, RunningMoments* out) {
    using T = std::remove_const_t<std::remove_pointer_t<decltype(x)>>;
    constexpr int n_at_once = decltype(at_once)::value, n_rows = kRows<T, n_at_once>;
    const bool held = Held<T, n_at_once>::can_hold(rows);
    const auto kernel =
        held ? directional_variance_kernel<T, n_at_once> : any_directional_variance_kernel<T>;
    const unsigned threads =
        held ? Held<T, n_at_once>::threads_for(rows.hidden_size) : threads_for(rows.hidden_size);
    const std::int64_t groups = held ? divide_up(rows.n_tokens, n_rows) : rows.n_tokens;
    const std::int64_t blocks =
        std::min({groups, kPartials, operation.resident_blocks(kernel, threads)});
    operation.launch(kernel, {static_cast<unsigned>(blocks), threads, 0, stream}, x, rows, type,
                     eps, pass);
    operation.launch(merge_partials_kernel, {pass.n, 256, 256 * sizeof(RunningMoments), stream},
                     pass, blocks, out);
  };
  const Weights all(const_cast<void*>(weights), n_directions, rows.hidden_size);
  const std::int64_t most = directions_at_once(rows), stride = padded_columns(rows.hidden_size);
  for (std::int64_t first = 0; first < n_directions; first += most) {
    const auto n = static_cast<unsigned>(std::min(most, n_directions - first));
    const PassWeights pass = {all.values + first * stride,
                              all.sums + first,
                              all.constants + first,
                              stride,
                              n,
                              static_cast<RunningMoments*>(workspace)};
    with_element_type(rows, [&](auto x) {
      if (n == 1) return measure(x, std::integral_constant<int, 1>{}, pass, moments + first);
      if (n == 2) return measure(x, std::integral_constant<int, 2>{}, pass, moments + first);
      if (n <= 4) return measure(x, std::integral_constant<int, 4>{}, pass, moments + first);
      measure(x, std::integral_constant<int, 8>{}, pass, moments + first);
    });
  }
}

}  // namespace deadray::kernels::cuda
