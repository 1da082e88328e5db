#pragma once

#include <ATen/core/Tensor.h>

namespace deadray {

/// Numbers of the rows that enter the statistics, among all rows of x.
/// @param counted  [sequences, length] bool on the CPU: Calibration::counted() or a tile of it;
///     undefined: every row counts
/// @param x        [sequences, ..., length, width]
/// @return [n] int64 on x's device; undefined: every row
at::Tensor counted_index(const at::Tensor& counted, const at::Tensor& x);

/// Those rows, [n, width].
at::Tensor counted_rows(const at::Tensor& counted, const at::Tensor& x);

}  // namespace deadray
