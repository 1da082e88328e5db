#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <optional>

#include "verify/device/backend.h"

namespace deadray {

/// The Schur ratio (`schur` in a record, reconstructed): the share of v's variance that the other
/// d-1 coordinates explain, 1 - 1/((v^T C^-1 v)(v^T C v)), in [0, 1]. Empty where v's variance is
/// below rounding.
/// @param c, v  [d, d] and [d] FP64, both on the backend's device
std::optional<double> schur_ratio(const at::Tensor& c, const at::Tensor& v,
                                  Backend& backend = cpu_backend());
/// What the ratio is expected to be for independent coordinates: (d-1)/(N-1); 1 for N <= d.
double schur_null(std::int64_t hidden_size, std::int64_t tokens);

}  // namespace deadray
