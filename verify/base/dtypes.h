#pragma once

#include <ATen/ATen.h>

#include <string_view>

#include "host/formats/dtype.h"
#include "kernels/arithmetic/rows.h"

// One type of number under its four names: the checkpoint's (DType), libtorch's, the kernels', and
// the one that people and records use.
namespace deadray {

/// @throws InternalError for what a model does not run in (integers, FP8): see
/// Checkpoint::require_plain_float()
at::ScalarType scalar_type(DType dtype);
/// @throws InternalError for other than the four floats
DType dtype_of(at::ScalarType type);
/// @throws InternalError for what no kernel reads, float16 among it
kernels::ElementType element_type(at::ScalarType type);

/// Dense rows [n, d] as the kernels see them; valid while the tensor is. @throws InternalError as
/// element_type() does
kernels::Rows rows_of(const at::Tensor& dense);

/// "float32", "bfloat16", "float16", "float64". @throws InternalError for others
std::string_view long_name(DType dtype);

}  // namespace deadray
