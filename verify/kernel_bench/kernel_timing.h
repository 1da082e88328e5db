#pragma once

#include <optional>
#include <string>

#include "verify/kernel_bench/kernel_cases.h"

namespace deadray {

struct KernelTiming {
  double seconds = 0.0;  ///< median of the repetitions, by the device's clock
  std::size_t workspace_bytes = 0;
  std::string driver{};           ///< as of PreparedCall, after the last repetition
  std::optional<double> bytes{};  ///< as of PreparedCall
};

/// Runs a case on Google Benchmark: the time is that between two CUDA events, with as many calls
/// between them as fill 2 ms.
/// @throws kernels::CudaError
KernelTiming time_kernel(const BenchDevice& device, const KernelCase& row, bool quick);

}  // namespace deadray
