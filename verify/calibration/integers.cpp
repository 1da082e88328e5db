#include "verify/calibration/integers.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "host/base/error.h"

namespace deadray {

namespace {

/// libtorch's type of the same bytes; a bool's is that of a byte, so that other values are seen.
std::optional<at::ScalarType> integer_type(DType type) {
  switch (type) {
    case DType::i64:
      return at::kLong;
    case DType::i32:
      return at::kInt;
    case DType::i16:
      return at::kShort;
    case DType::i8:
      return at::kChar;
    case DType::u8:
    case DType::boolean:
      return at::kByte;
    default:
      return std::nullopt;
  }
}

}  // namespace

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

at::Tensor read_mask(const Checkpoint& file, const std::string& name) {
  const TensorInfo& tensor = file.at(name);
  const std::optional<at::ScalarType> type = integer_type(tensor.dtype);
  if (!type || tensor.shape.size() != 2)
    throw MalformedError(fmt::format(
        "{}: tensor '{}' is {} of rank {}, expected integers or bools [batch, sequence]",
        file.path().string(), name, tensor.stored_dtype, tensor.shape.size()));
  at::Tensor values = at::empty(tensor.shape, *type);
  if (values.numel() > 0) file.read(tensor, values.data_ptr());
  values = values.to(at::kLong);
  const at::Tensor wrong = at::nonzero(values.ne(0).logical_and(values.ne(1)));
  if (wrong.size(0) > 0) {
    const std::int64_t row = wrong[0][0].item<std::int64_t>(),
                       column = wrong[0][1].item<std::int64_t>();
    throw MalformedError(fmt::format("{}: tensor '{}' is {} at row {}, column {}, expected 0 or 1",
                                     file.path().string(), name,
                                     values[row][column].item<std::int64_t>(), row, column));
  }
  return values.to(at::kBool);
}

}  // namespace deadray
