#pragma once

#include <cstddef>
#include <cstdint>

/// How an operation gets its workspace. No operation allocates device memory. One that needs some
/// has a function beside it, X_workspace(shape), which says how many bytes. The caller allocates
/// them with allocate() of cuda_context.h, and passes the pointer, as a rule with its size, to X.
/// In deadray the caller is CudaDevice::workspace(). Any number of calls may use the same memory,
/// one at a time. Where X takes the size, a workspace that is too small is a CudaError.
namespace deadray::kernels::cuda {

/// Deals out a workspace in pieces, one behind the other. From null it only counts, so that one
/// piece of code says what an operation keeps where, and how many bytes that takes.
class WorkspacePieces {
 public:
  explicit WorkspacePieces(void* workspace) : workspace_(static_cast<char*>(workspace)) {}

  /// Room for `count` values of T; null while counting.
  template <typename T>
  T* take(std::int64_t count) {
    T* const place = rest<T>();
    const auto bytes = static_cast<std::size_t>(count) * sizeof(T);
    used_ += (bytes + kAlignment - 1) / kAlignment * kAlignment;
    return place;
  }

  /// Where the last piece begins, which may be of any size.
  template <typename T>
  T* rest() const {
    return reinterpret_cast<T*>(workspace_ ? workspace_ + used_ : nullptr);
  }

  std::size_t used() const { return used_; }

 private:
  static constexpr std::size_t kAlignment = 256;  // as cudaMalloc aligns
  char* workspace_;
  std::size_t used_ = 0;
};

}  // namespace deadray::kernels::cuda
