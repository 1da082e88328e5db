#pragma once

#include <ATen/ATen.h>

#include "host/architecture/norm_parameters.h"
#include "host/architecture/norm_site.h"

namespace deadray {

/// A norm recomputed in FP64 from its input, minus beta: gamma * z, rows [n, d]. The exact reading
/// starts here.
/// @param input [n, d] float32, bfloat16 or float64
at::Tensor recompute_norm(const NormSite& site, const NormParameters& norm,
                          const at::Tensor& input);

}  // namespace deadray
