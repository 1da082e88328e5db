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
using CudaMemory =
    std::unique_ptr<void, CudaRelease>;  ///< of the device, or page-locked of the host

struct CudaEventDestroy {
  const kernels::CudaOperations* operations = nullptr;
  void operator()(kernels::Event event) const noexcept { operations->destroy_event(event); }
};
using CudaEvent = std::unique_ptr<std::remove_pointer_t<kernels::Event>, CudaEventDestroy>;

/// One device as the parts of the CUDA backend share it: the kernels' operations, and libtorch's
/// tensors of the same memory. On the emulation of tests/simt the tensors are the CPU's.
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

  /// libtorch's current stream in this thread: what the kernels and libtorch are asked for happens
  /// in the order of asking.
  kernels::Stream stream() const;
  /// Memory for one operation at a time, of the thread that computes; valid until more is asked
  /// for.
  /// @throws kernels::CudaError of kind out_of_memory
  void* workspace(std::size_t bytes);
  /// Gives back the workspace and what libtorch keeps for later.
  void release_unused();
  /// What the device has free, and what libtorch keeps of it without use.
  std::size_t free_bytes() const;

  /// @throws kernels::CudaError of kind out_of_memory or, of the host's, out_of_host_memory
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
