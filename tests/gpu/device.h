#pragma once

#include <cstdlib>
#include <span>
#include <string>
#include <vector>

#include "kernels/module/cuda_operations.h"

namespace deadray::testing {

/// Where the operations come from: libdeadray_cuda.so, as main.cpp has it, or the emulation of
/// tests/simt.
inline std::string module_path() { return std::getenv("DEADRAY_KERNELS"); }

inline bool emulated() { return module_path().find("simt") != std::string::npos; }
/// In the emulation, and under compute-sanitizer, as slow, where DEADRAY_SMALL_SHAPES is set.
inline bool small_shapes() { return emulated() || std::getenv("DEADRAY_SMALL_SHAPES"); }

inline const kernels::CudaOperations& operations() {
  return kernels::load_cuda_operations(module_path().c_str());
}

/// An array of the device's memory; freed with it.
template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(std::size_t size)
      : size_(size), data_(static_cast<T*>(operations().allocate(size * sizeof(T), false))) {}
  explicit DeviceArray(std::span<const T> values) : DeviceArray(values.size()) { upload(values); }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(std::span<const T>(values)) {}
  ~DeviceArray() { operations().release(data_, false); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() { return data_; }
  void upload(std::span<const T> values) {
    operations().copy(data_, values.data(), values.size_bytes(), nullptr);
    operations().synchronize(nullptr);
  }
  std::vector<T> download() const {
    std::vector<T> values(size_);
    operations().copy(values.data(), data_, size_ * sizeof(T), nullptr);
    operations().synchronize(nullptr);  // reports what went wrong in a kernel before
    return values;
  }

 private:
  std::size_t size_;
  T* data_;
};

/// The libraries' handles of device 0: one set for a program, as deadray has it. A set takes long
/// to make, longest under a sanitizer. It is never destroyed: the libraries may be gone by then.
class DeviceContext {
 public:
  DeviceContext() { context(); }
  operator kernels::cuda::Context&() const {  // NOLINT(google-explicit-constructor)
    return context();
  }

 private:
  static kernels::cuda::Context& context() {
    static kernels::cuda::Context* const one = operations().create_context(0);
    return *one;
  }
};

}  // namespace deadray::testing
