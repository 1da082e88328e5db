#include "verify/weights/finite_values.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "host/base/error.h"
#include "host/base/in_quotes.h"

namespace deadray {
namespace {

/// Infinities and NaNs are the values whose exponent's bits are all set.
template <class Bits>
bool all_finite(const void* values, std::int64_t count, Bits exponent) {
  const auto* bits = static_cast<const Bits*>(values);
  Bits found = 0;
  for (std::int64_t i = 0; i < count; ++i)
    found |= static_cast<Bits>((bits[i] & exponent) == exponent);
  return found == 0;
}

bool all_finite(DType dtype, const void* values, std::int64_t count) {
  switch (dtype) {
    case DType::f64:
      return all_finite<std::uint64_t>(values, count, 0x7ff0'0000'0000'0000);
    case DType::f32:
      return all_finite<std::uint32_t>(values, count, 0x7f80'0000);
    case DType::f16:
      return all_finite<std::uint16_t>(values, count, 0x7c00);
    case DType::bf16:
      return all_finite<std::uint16_t>(values, count, 0x7f80);
    default:
      return true;  // an integer
  }
}

}  // namespace

void require_finite(const Checkpoint& checkpoint, const TensorInfo& tensor, DType dtype,
                    std::int64_t first, std::int64_t count, const void* values) {
  if (all_finite(dtype, values, count)) return;
  const std::span stored(static_cast<const std::byte*>(values),
                         static_cast<std::size_t>(count) * size_of(dtype));
  std::vector<double> wide(static_cast<std::size_t>(count));
  if (dtype == DType::f64)
    std::memcpy(wide.data(), stored.data(), stored.size());
  else
    widen(dtype, stored, wide);
  std::size_t at = 0;
  while (std::isfinite(wide[at])) ++at;
  throw MalformedError(fmt::format(
      "{}: tensor {}: element {} of {} is {}, expected finite values: the weights are damaged, or "
      "were saved after training diverged",
      checkpoint.files()[tensor.file].string(), in_quotes(tensor.name),
      first + static_cast<std::int64_t>(at), tensor.elements(), wide[at]));
}

}  // namespace deadray
