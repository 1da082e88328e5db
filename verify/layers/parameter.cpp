#include "verify/layers/parameter.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

#include "verify/base/forward_mode.h"

namespace deadray {

at::Tensor Parameter::operator()() const {
  const ForwardMode* mode = ForwardMode::current();
  return mode != nullptr && tangents.defined() ? mode->lift({value, tangents}) : value;
}

Parameter load_parameter(const Weights& weights, std::span<const TensorSpec> stored,
                         std::int64_t block,
                         const std::function<at::Tensor(const Weights& source)>& make) {
  const ForwardMode::Pause plain;
  Parameter parameter{make(weights)};
  const auto sources = weights.tangents();
  for (std::size_t k = 0; k < sources.size(); ++k) {
    if (std::none_of(stored.begin(), stored.end(),
                     [&](const TensorSpec& spec) { return sources[k]->moves(spec, block); }))
      continue;
    if (!parameter.tangents.defined()) {
      std::vector<std::int64_t> shape = parameter.value.sizes().vec();
      shape.insert(shape.begin(), static_cast<std::int64_t>(sources.size()));
      parameter.tangents = at::zeros(shape, parameter.value.options());
    }
    parameter.tangents[static_cast<std::int64_t>(k)].copy_(make(*sources[k]));
  }
  return parameter;
}

Parameter load_parameter(const Weights& weights, const TensorSpec& spec, std::int64_t block,
                         at::ScalarType dtype) {
  return load_parameter(weights, {&spec, 1}, block,
                        [&](const Weights& source) { return source.load(spec, block, dtype); });
}

at::Tensor added(at::Tensor x, const Parameter& parameter) {
  return ForwardMode::current() == nullptr ? x.add_(parameter.value) : x + parameter();
}

}  // namespace deadray
