#pragma once

#include <stdexcept>
#include <string>

namespace deadray::kernels {

/// A CUDA call that failed. what() is one line: the operation with its shapes, the call, the
/// device, CUDA's name for the status and its meaning. The only exception that leaves kernels; its
/// type is visible, so that it can be caught outside the module that throws it.
class __attribute__((visibility("default"))) CudaError : public std::runtime_error {
 public:
  enum class Kind {
    no_device,      ///< none here, none that this build serves, or none that driver and system have
                    ///< ready
    out_of_memory,  ///< of the device: a smaller tile may do
    out_of_host_memory,  ///< that can be page-locked: no tile is too large for it
    too_large,           ///< for the library that would compute it, whatever the memory
    other,
  };
  CudaError(Kind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  Kind kind() const noexcept { return kind_; }

 private:
  Kind kind_;
};

}  // namespace deadray::kernels
