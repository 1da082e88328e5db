#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "kernels/module/cuda_operations.h"

/// A device for benchmarks of the kernels: its operations, a stream, and memory with random
/// content. No libtorch.
namespace deadray {

/// One device and the module that serves it.
class BenchDevice {
 public:
  /// @throws ResourceError when the module or the device is missing
  explicit BenchDevice(int index);
  ~BenchDevice();
  BenchDevice(const BenchDevice&) = delete;
  BenchDevice& operator=(const BenchDevice&) = delete;

  const kernels::CudaOperations& operations() const { return *operations_; }
  kernels::cuda::Context& context() const { return *context_; }
  kernels::Stream stream() const { return stream_; }
  int index() const { return index_; }

 private:
  const kernels::CudaOperations* operations_;
  int index_;
  kernels::cuda::Context* context_ = nullptr;
  kernels::Stream stream_ = nullptr;
};

/// Memory of the device.
class BenchBuffer {
 public:
  BenchBuffer(const BenchDevice& device, std::size_t bytes);
  ~BenchBuffer();
  BenchBuffer(const BenchBuffer&) = delete;
  BenchBuffer& operator=(const BenchBuffer&) = delete;

  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  std::size_t bytes() const { return bytes_; }

 private:
  const BenchDevice& device_;
  std::size_t bytes_;
  void* data_;
};
using SharedBuffer = std::shared_ptr<BenchBuffer>;

std::size_t bytes_of(kernels::ElementType type);
const char* to_string(kernels::ElementType type);

/// At least one byte of it.
SharedBuffer empty_buffer(const BenchDevice& device, std::size_t bytes);

/// Normals about `mean`, never zeros: what a device multiplies changes the power that it draws and
/// so its clock. They repeat after 4194301 elements, a prime, so that no two rows of a matrix are
/// alike.
SharedBuffer random_buffer(const BenchDevice& device, kernels::ElementType type, std::int64_t count,
                           std::string_view name, double deviation = 1.0, double mean = 0.0);

/// Rows with random content: as many of them as make 256 MiB together, five times an H100's
/// second-level cache, so that no run finds its input there; at most eight.
class RotatingRows {
 public:
  RotatingRows(const BenchDevice& device, kernels::ElementType type, std::int64_t n_tokens,
               std::int64_t hidden_size, double deviation = 1.0);
  kernels::Rows at(std::int64_t repetition) const;

 private:
  std::vector<SharedBuffer> buffers_;
  kernels::Rows view_;
};

/// A LayerNorm with gamma spread around 1; beta is its own shift.
class RandomNorm {
 public:
  RandomNorm(const BenchDevice& device, std::int64_t hidden_size);
  kernels::NormArguments arguments() const;

 private:
  SharedBuffer gamma_, beta_;
};

}  // namespace deadray
