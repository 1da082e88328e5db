#include "verify/weights/random_weights.h"

#include <ATen/ATen.h>

#include "kernels/operations/random_normal.h"

namespace deadray {

/// Fills `out` with the tensor's elements from number `first` on.
void RandomWeights::fill(const TensorSpec& spec, std::int64_t block, std::int64_t first,
                         at::Tensor out) const {
  switch (spec.init.kind) {
    case Init::Kind::zeros:
      out.zero_();
      return;
    case Init::Kind::ones:
      out.fill_(1.0);
      return;
    case Init::Kind::constant:
      out.fill_(spec.init.deviation);
      return;
    case Init::Kind::normal:
      backend_->random_normal(seed_, kernels::stream_of(name(spec.name, block)), first,
                              static_cast<float>(spec.init.deviation), out);
      return;
  }
}

void RandomWeights::read(const TensorSpec& spec, std::int64_t block, at::Tensor out) const {
  fill(spec, block, 0, out);
  if (const std::int64_t row = spec.init.zero_row; row >= 0 && row < spec.shape[0])
    out[row].zero_();
}

void RandomWeights::read_rows(const TensorSpec& spec, const at::Tensor& ids, at::Tensor out) const {
  const auto* id = ids.const_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < ids.numel(); ++i) {
    if (id[i] == spec.init.zero_row)
      out[i].zero_();
    else
      fill(spec, -1, id[i] * spec.shape[1], out[i]);
  }
}

}  // namespace deadray
