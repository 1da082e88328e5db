#include <algorithm>

#include "kernels/arithmetic/normal_arithmetic.h"
#include "kernels/arithmetic/philox.h"
#include "kernels/cuda/cuda_operation.cuh"
#include "kernels/operations/random_normal.h"

namespace deadray::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr std::int64_t kMaxBlocks = 1 << 16;

/// One thread per counter: four elements, 16 apart. Compiled with -fmad=false.
struct DrawNormal {
  float deviation;
  __device__ void operator()(PhiloxWords words, float (&values)[4]) const {
    const NormalPair low = box_muller(words.w0, words.w1, deviation),
                     high = box_muller(words.w2, words.w3, deviation);
    values[0] = low.first, values[1] = low.second, values[2] = high.first, values[3] = high.second;
  }
};

struct DrawBelow {
  std::uint64_t bound;
  __device__ void operator()(PhiloxWords words, std::int64_t (&values)[4]) const {
    values[0] = uniform_below(words.w0, bound), values[1] = uniform_below(words.w1, bound);
    values[2] = uniform_below(words.w2, bound), values[3] = uniform_below(words.w3, bound);
  }
};

template <typename T, typename Draw>
__global__ void draw_kernel(std::uint64_t seed, std::uint64_t stream, std::int64_t first,
                            std::int64_t count, Draw draw, T* out) {
  const std::int64_t first_group = first / kRandomGroup,
                     end_group = (first + count + kRandomGroup - 1) / kRandomGroup;
  const std::int64_t n_counters = (end_group - first_group) * kRandomLanes;
  for (std::int64_t c = std::int64_t{blockIdx.x} * kThreads + threadIdx.x; c < n_counters;
       c += std::int64_t{gridDim.x} * kThreads) {
    const std::int64_t group = first_group + c / kRandomLanes;
    const int lane = static_cast<int>(c % kRandomLanes);
    T values[4];
    draw(random_words(seed, stream, group, lane), values);
    for (int j = 0; j < 4; ++j) {
      const std::int64_t i = group * kRandomGroup + j * kRandomLanes + lane - first;
      if (i >= 0 && i < count) out[i] = values[j];
    }
  }
}

template <typename T, typename Draw>
void draw(const char* name, std::uint64_t seed, std::uint64_t stream, std::int64_t first,
          std::int64_t count, Draw values, T* out, Stream cuda_stream) {
  if (count == 0) return;  // an empty grid is a launch error
  const std::int64_t counters = (count / kRandomGroup + 2) * kRandomLanes;
  const auto blocks =
      static_cast<unsigned>(std::min(kMaxBlocks, (counters + kThreads - 1) / kThreads));
  const Operation operation(name, {{"first", first}, {"count", count}});
  operation.launch(draw_kernel<T, Draw>, {blocks, kThreads, 0, cuda_stream}, seed, stream, first,
                   count, values, out);
}

}  // namespace

void random_normal(std::uint64_t seed, std::uint64_t stream, std::int64_t first, std::int64_t count,
                   float deviation, float* out, Stream cuda_stream) {
  draw("random_normal", seed, stream, first, count, DrawNormal{deviation}, out, cuda_stream);
}

void random_uniform_int(std::uint64_t seed, std::uint64_t stream, std::int64_t first,
                        std::int64_t count, std::uint64_t bound, std::int64_t* out,
                        Stream cuda_stream) {
  draw("random_uniform_int", seed, stream, first, count, DrawBelow{bound}, out, cuda_stream);
}

}  // namespace deadray::kernels::cuda
