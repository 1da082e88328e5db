#pragma once

#include <stdexcept>
#include <string>

namespace deadray::kernels {

/// A CUDA call that failed. what() is one line: the operation with its shapes, the call, the
/// device, CUDA's name for the status and its meaning. No other exception leaves kernels. Its type
/// is visible, so that it can be caught outside the module that throws it.
class __attribute__((visibility("default"))) CudaError : public std::runtime_error {
 public:
  enum class Kind {
    /// None here, none that this build serves, or none that driver and system have ready.
    no_device,
    /// Of the device: a smaller tile may do.
    out_of_memory,
    /// That can be page-locked. A smaller tile would not help.
    out_of_host_memory,
    /// For the library that would compute it, whatever the memory.
    too_large,
    /// The library's result does not pass, by its own word or by the check. Another method may do.
    unsolved,
    other,
  };
  CudaError(Kind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  Kind kind() const noexcept { return kind_; }

 private:
  Kind kind_;
};

}  // namespace deadray::kernels
