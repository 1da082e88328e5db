#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <optional>

namespace deadray {

/// Share of v's variance that the other d-1 coordinates explain: 1 - 1/((v^T C^-1 v)(v^T C v)), in [0, 1]. Empty where v's variance is
/// below rounding.
std::optional<double> schur_ratio(const at::Tensor& c, const at::Tensor& v);
/// Its expectation for independent coordinates: (d-1)/(N-1).
double schur_null(std::int64_t hidden_size, std::int64_t tokens);

}  // namespace deadray
