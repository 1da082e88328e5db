#include "verify/base/dtypes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "host/base/error.h"

namespace deadray {
namespace {

struct Names {
  DType stored;
  at::ScalarType computed;
  std::string_view spoken;
};
constexpr std::array kTypes{
    Names{DType::f64, at::kDouble, "float64"},
    Names{DType::f32, at::kFloat, "float32"},
    Names{DType::f16, at::kHalf, "float16"},
    Names{DType::bf16, at::kBFloat16, "bfloat16"},
};

template <class Value>
const Names& find(Value Names::* name, Value wanted, std::string_view text) {
  const auto found = std::find_if(kTypes.begin(), kTypes.end(),
                                  [&](const Names& names) { return names.*name == wanted; });
  if (found == kTypes.end())
    throw InternalError(
        fmt::format("dtype {}: expected float64, float32, float16 or bfloat16", text));
  return *found;
}

}  // namespace

at::ScalarType scalar_type(DType dtype) {
  return find(&Names::stored, dtype, to_string(dtype)).computed;
}
DType dtype_of(at::ScalarType type) {
  return find(&Names::computed, type, c10::toString(type)).stored;
}
std::string_view long_name(DType dtype) {
  return find(&Names::stored, dtype, to_string(dtype)).spoken;
}

kernels::ElementType element_type(at::ScalarType type) {
  switch (type) {
    case at::kDouble:
      return kernels::ElementType::float64;
    case at::kFloat:
      return kernels::ElementType::float32;
    case at::kBFloat16:
      return kernels::ElementType::bfloat16;
    default:
      throw InternalError(fmt::format("rows of {}: the kernels read float64, float32 and bfloat16",
                                      c10::toString(type)));
  }
}

kernels::Rows rows_of(const at::Tensor& dense) {
  if (dense.dim() != 2 || !dense.is_contiguous())
    throw InternalError(fmt::format("rows of shape {}: not dense", c10::str(dense.sizes())));
  return {dense.const_data_ptr(), element_type(dense.scalar_type()), dense.size(0), dense.size(1),
          dense.size(1)};
}

}  // namespace deadray
