#include "verify/calibration/counted_rows.h"

#include <ATen/ATen.h>

#include <vector>

namespace deadray {

at::Tensor counted_index(const at::Tensor& counted, const at::Tensor& x) {
  if (!counted.defined()) return {};
  const at::IntArrayRef places = x.sizes().slice(0, static_cast<std::size_t>(x.dim()) - 1);
  std::vector<std::int64_t> shape(places.size(), 1);
  shape.front() = counted.size(0);
  shape.back() = counted.size(1);
  return at::nonzero(counted.view(shape).expand(places).flatten()).squeeze(1).to(x.device());
}

at::Tensor counted_rows(const at::Tensor& counted, const at::Tensor& x) {
  const at::Tensor index = counted_index(counted, x), rows = x.flatten(0, -2);
  return index.defined() ? rows.index_select(0, index) : rows;
}

}  // namespace deadray
