#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <string>

#include "verify/device/backend.h"

namespace deadray {

/// Flops from which on a run says beforehand what it will take. Less work is done in the time that
/// measuring the rate would take.
inline constexpr double kWorthAsking = 2e11;

/// Seconds of a clock that only ever goes forward.
double steady_seconds();

/// Flops a second of the product [1024, n] x [n, 4 n] in this dtype on the backend: the best of
/// three, after one that counts for nothing.
/// @param n    the width of a model; at most 4096 of it are taken
/// @param now  the clock, read before and after each product
double measure_gemm_rate(Backend& backend, at::ScalarType dtype, std::int64_t n,
                         const std::function<double()>& now = steady_seconds);

/// How a plan in one line ends: with the flops and, where the rate was measured, the least time.
std::string work_text(double flops, double gemm_rate);

}  // namespace deadray
