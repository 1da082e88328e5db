#pragma once

#include <ATen/ATen.h>

#include <string_view>

#include "host/formats/dtype.h"
#include "kernels/arithmetic/rows.h"

// A number type has four names: the checkpoint's (DType), libtorch's, the kernels', and the word
// that people and records use.
namespace deadray {

/// @throws InternalError for a type that no model runs in (integers, FP8): see
/// Checkpoint::require_plain_float()
at::ScalarType scalar_type(DType dtype);
/// @throws InternalError for a type that is none of float64, float32, float16 and bfloat16
DType dtype_of(at::ScalarType type);
/// @throws InternalError for a type that no kernel reads; float16 is one
kernels::ElementType element_type(at::ScalarType type);

/// Dense rows [n, d] as the kernels see them; valid while the tensor is.
/// @throws InternalError as element_type() does, or where the tensor is not dense
kernels::Rows rows_of(const at::Tensor& dense);

/// "float32", "bfloat16", "float16", "float64". @throws InternalError for others
std::string_view long_name(DType dtype);

}  // namespace deadray
