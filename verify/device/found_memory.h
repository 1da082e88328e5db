#pragma once

#include <c10/util/Exception.h>

#include "kernels/cuda/cuda_error.h"

namespace deadray {

/// Runs f. @return whether f found the memory that it asked the device for
/// @throws every other failure of f; want of the host's memory is one of them
template <class F>
bool found_memory(F&& f) {
  try {
    f();
    return true;
  } catch (const c10::OutOfMemoryError&) {
  } catch (const kernels::CudaError& error) {
    if (error.kind() != kernels::CudaError::Kind::out_of_memory) throw;
  }
  return false;
}

}  // namespace deadray
