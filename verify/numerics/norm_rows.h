#pragma once

#include <ATen/ATen.h>

#include "host/architecture/norm_parameters.h"
#include "host/architecture/norm_site.h"

namespace deadray {

/// A norm recomputed in FP64 from its input, minus beta: gamma * z [n, d]. The exact reading of a
/// norm is made of these rows.
/// @param input [n, d], any float dtype
at::Tensor recompute_norm(const NormSite& site, const NormParameters& norm,
                          const at::Tensor& input);

}  // namespace deadray
