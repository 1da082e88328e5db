#include "verify/calibration/integers.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>

#include "host/base/error.h"

namespace deadray {

at::Tensor read_integers(const Checkpoint& file, const std::string& name, std::string_view shape) {
  const TensorInfo& tensor = file.at(name);
  const auto rank = static_cast<std::size_t>(std::count(shape.begin(), shape.end(), ',')) + 1;
  const bool is_long = tensor.dtype == DType::i64;
  if ((!is_long && tensor.dtype != DType::i32) || tensor.shape.size() != rank)
    throw MalformedError(fmt::format("{}: tensor '{}' is {} of rank {}, expected I64 or I32 {}",
                                     file.path().string(), name, tensor.stored_dtype,
                                     tensor.shape.size(), shape));
  at::Tensor values = at::empty(tensor.shape, is_long ? at::kLong : at::kInt);
  if (values.numel() > 0) file.read(tensor, values.data_ptr());
  return values.to(at::kLong);
}

}  // namespace deadray
