#pragma once

#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <cusolverDn.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "kernels/arithmetic/host_device.h"
#include "kernels/cuda/cuda_error.h"

namespace deadray::kernels::cuda {

/// One extent of an operation's arguments, for messages.
struct Extent {
  const char* name;
  std::int64_t value;
};

/// How a kernel is launched.
struct Launch {
  dim3 blocks, threads;
  /// At most 48 KiB: beyond, a kernel would have to ask.
  std::size_t shared_bytes = 0;
  Stream stream = nullptr;
};

/// One call of an operation. As long as it lives it is a range in a profiler's timeline; every
/// failure names it, with its shapes and the device.
class Operation {
 public:
  Operation(const char* name, std::initializer_list<Extent> shape);
  ~Operation();
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

  /// @param otherwise  the kind of error that a failure is, unless the status says out of memory
  /// @throws CudaError unless the status is success
  void check(cudaError_t status, const char* call) const;
  void check(cublasStatus_t status, const char* call) const;
  void check(cusolverStatus_t status, const char* call,
             CudaError::Kind otherwise = CudaError::Kind::other) const;

  /// Copies from the device to the host, and waits for it and for what is on the stream before.
  /// @throws CudaError
  void download(void* to, const void* from, std::size_t bytes, Stream stream) const;

  /// @throws CudaError when a caller's workspace is too small
  void check_workspace(std::size_t bytes, std::size_t needed) const;

  /// @throws CudaError: the operation, its shapes and device, then `problem`
  [[noreturn]] void fail(CudaError::Kind kind, const std::string& problem) const;

  /// Asynchronous. @throws CudaError when the launch itself fails
  template <class... Parameters, class... Arguments>
  void launch(void (*kernel)(Parameters...), const Launch& how, Arguments... arguments) const;

  /// How many blocks of a kernel without dynamic shared memory the whole device runs at a time: the
  /// grid of a kernel whose blocks loop.
  template <class... Parameters>
  std::int64_t resident_blocks(void (*kernel)(Parameters...), unsigned threads) const {
    int device = 0, processors = 0, blocks = 0;
    check(cudaGetDevice(&device), "cudaGetDevice");
    check(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device),
          "cudaDeviceGetAttribute");
    check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(
              &blocks, reinterpret_cast<const void*>(kernel), static_cast<int>(threads), 0),
          "cudaOccupancyMaxActiveBlocksPerMultiprocessor");
    return std::int64_t{processors} * (blocks > 0 ? blocks : 1);
  }

 private:
  static constexpr std::size_t kMaxExtents = 6;
  const char* name_;
  Extent shape_[kMaxExtents];
  std::size_t n_extents_;
};

#if defined(__CUDACC__)
/// The block's dynamic shared memory.
template <class T>
__device__ T* dynamic_shared() {
  extern __shared__ __align__(16) unsigned char deadray_dynamic_shared[];
  return reinterpret_cast<T*>(deadray_dynamic_shared);
}
#elif defined(DEADRAY_SIMT)
template <class T>
T* dynamic_shared() {
  return static_cast<T*>(simt::dynamic_shared());
}
#endif

#if defined(__CUDACC__) || defined(DEADRAY_SIMT)
template <class... Parameters, class... Arguments>
void Operation::launch(void (*kernel)(Parameters...), const Launch& how,
                       Arguments... arguments) const {
#if defined(__CUDACC__)
  kernel<<<how.blocks, how.threads, how.shared_bytes, how.stream>>>(arguments...);
#else
  simt::run(how.blocks, how.threads, how.shared_bytes, [&] { kernel(arguments...); });
#endif
  check(cudaGetLastError(), "launch");
}
#endif

}  // namespace deadray::kernels::cuda
