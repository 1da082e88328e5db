#pragma once

#include <ATen/ATen.h>

#include <cstddef>
#include <memory>
#include <type_traits>

#include "kernels/module/cuda_operations.h"

namespace deadray {

struct CudaRelease {
  const kernels::CudaOperations* operations = nullptr;
  bool host = false;
  void operator()(void* memory) const noexcept { operations->release(memory, host); }
};
/// Memory of the device, or page-locked memory of the host.
using CudaMemory = std::unique_ptr<void, CudaRelease>;

struct CudaEventDestroy {
  const kernels::CudaOperations* operations = nullptr;
  void operator()(kernels::Event event) const noexcept { operations->destroy_event(event); }
};
using CudaEvent = std::unique_ptr<std::remove_pointer_t<kernels::Event>, CudaEventDestroy>;

/// One device, shared by the parts of the CUDA backend: the kernels' operations, and where
/// libtorch's tensors live. On the emulation of tests/simt the tensors are the CPU's.
class CudaDevice {
 public:
  CudaDevice(const kernels::CudaOperations& operations, at::Device device, int index);
  ~CudaDevice();
  CudaDevice(const CudaDevice&) = delete;
  CudaDevice& operator=(const CudaDevice&) = delete;

  const kernels::CudaOperations& operations() const { return operations_; }
  kernels::cuda::Context& context() const { return *context_; }
  at::Device device() const { return device_; }
  int index() const { return index_; }
  at::TensorOptions fp64() const { return at::TensorOptions().dtype(at::kDouble).device(device_); }

  /// libtorch's current stream in this thread. Kernels that are launched on it and libtorch's own
  /// run in the order of the calls.
  kernels::Stream stream() const;
  /// Memory for one operation at a time of the thread that computes. A later call that asks for
  /// more invalidates it.
  /// @throws kernels::CudaError of kind out_of_memory
  void* workspace(std::size_t bytes);
  /// Gives back the workspace and the freed memory that libtorch keeps.
  void release_unused();
  /// Bytes that are free on the device, and those that libtorch keeps unused.
  std::size_t free_bytes() const;

  /// @param host  page-locked memory of the host instead of the device's
  /// @throws kernels::CudaError of kind out_of_memory or, for the host, out_of_host_memory
  CudaMemory allocate(std::size_t bytes, bool host);
  CudaEvent create_event() {
    return CudaEvent(operations_.create_event(), CudaEventDestroy{&operations_});
  }

 private:
  const kernels::CudaOperations& operations_;
  at::Device device_;
  int index_;
  kernels::cuda::Context* context_;
  CudaMemory workspace_;
  std::size_t workspace_bytes_ = 0;
};

}  // namespace deadray
