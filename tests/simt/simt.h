#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>

/// CUDA's execution model on one CPU thread, so that the kernels' own source runs, under sanitizers
/// too, where there is no device. Included before a .cu that is compiled as C++ (-include). A
/// block's threads are fibers; a barrier or a warp's exchange waits until all of its threads have
/// arrived, and a wait that cannot end aborts. It is slow, and says nothing about speed or about
/// the memory model of a device.
namespace deadray::simt {

/// Runs body once for each thread of each block, blocks one after another. The order of threads
/// between two waits is drawn anew each time.
void run(dim3 blocks, dim3 threads, std::size_t shared_bytes, const std::function<void()>& body);

/// Dynamic shared memory of the block that runs; starts as NaN.
void* dynamic_shared();

/// Waits for the lanes of `mask`, each of which gives a value of up to 16 bytes; reads that of
/// `lane`. A lane outside the mask's warp gives its own.
void exchange(unsigned mask, const void* own, void* out, std::size_t bytes, int lane);
void block_barrier();
int current_lane();

template <class T>
T shuffle(unsigned mask, T value, int lane) {
  static_assert(sizeof(T) <= 16);
  T out;
  exchange(mask, &value, &out, sizeof(T), lane);
  return out;
}

}  // namespace deadray::simt

#undef __launch_bounds__
#define __launch_bounds__(...)
#undef __shared__
#define __shared__ static  // blocks run one after another

inline uint3 threadIdx, blockIdx;
inline dim3 blockDim, gridDim;

inline void __syncthreads() { deadray::simt::block_barrier(); }
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits) {
  return deadray::simt::shuffle(mask, value, deadray::simt::current_lane() ^ bits);
}

template <class T>
T __ldcg(const T* x) {
  return *x;
}
template <class T>
T __ldcs(const T* x) {
  return *x;
}
