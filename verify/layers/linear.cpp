#include "verify/layers/linear.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <optional>

#include "verify/layers/layer_hook.h"

namespace deadray {

namespace {

using LinearPointwise = at::Tensor(const at::Tensor& x, const at::Tensor& weight,
                                   const std::optional<at::Tensor>& bias,
                                   c10::string_view attribute,
                                   c10::List<std::optional<at::Scalar>> scalars,
                                   std::optional<c10::string_view> algorithm);

/// oneDNN's FP32 product on the CPU. at::linear takes MKL's, which is slower on processors of
/// another vendor than MKL's: 1.1 to 1.6 times, measured on an AVX-512 machine. Absent in a
/// libtorch without oneDNN.
std::optional<c10::TypedOperatorHandle<LinearPointwise>> find_onednn_linear() {
  const auto schema = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
  return schema ? std::optional(schema->typed<LinearPointwise>()) : std::nullopt;
}

/// y = x weight^T + bias.
at::Tensor multiply(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  static const auto kOneDnn = find_onednn_linear();
  // It has no derivatives, so it serves only where none are wanted.
  if (kOneDnn && x.is_cpu() && x.scalar_type() == at::kFloat && c10::InferenceMode::is_enabled() &&
      x.numel() > 0)
    return kOneDnn->call(x, weight, bias.defined() ? std::optional(bias) : std::nullopt, "none",
                         c10::List<std::optional<at::Scalar>>(), "");
  return at::linear(x, weight, bias);
}

/// One part into `out`. Of parts of which some move, those that stay are zero.
void read_part(const Weights& weights, const TensorSpec& part, std::int64_t block, at::Tensor out) {
  if (weights.moves(part, block))
    weights.read(part, block, out);
  else
    out.zero_();
}

/// The parts of a weight or bias, or of what they move along, side by side along `axis`.
at::Tensor load_parts(const Weights& weights, const std::vector<TensorSpec>& parts,
                      std::int64_t outputs, int axis, std::int64_t block, at::ScalarType dtype) {
  if (parts.size() == 1) return weights.load(parts[0], block, dtype);
  if (axis != 0) {
    std::vector<at::Tensor> loaded;
    for (const TensorSpec& part : parts) {
      loaded.push_back(weights.empty(part.shape, dtype));
      read_part(weights, part, block, loaded.back());
    }
    return at::cat(loaded, axis);
  }
  auto shape = parts[0].shape;
  shape[0] = outputs;
  at::Tensor all = weights.empty(shape, dtype);
  std::int64_t row = 0;
  for (const TensorSpec& part : parts) {  // straight into place: no second copy in memory
    read_part(weights, part, block, all.narrow(0, row, part.shape[0]));
    row += part.shape[0];
  }
  return all;
}

}  // namespace

at::Tensor Linear::operator()(const at::Tensor& x) const {
  at::Tensor y = multiply(x, weight(), bias());
  for (const auto& [first, count, hook] : watched) {
    const at::Tensor part =
        (*hook)(x, y.narrow(-1, first, count), weight.value.narrow(0, first, count));
    const std::int64_t end = first + count;
    y = count == y.size(-1)
            ? part
            : at::cat({y.narrow(-1, 0, first), part, y.narrow(-1, end, y.size(-1) - end)}, -1);
  }
  return y;
}

Linear load_linear(const Weights& weights, const LinearSpec& described, std::int64_t block,
                   at::ScalarType dtype) {
  const LinearSpec& spec = weights.as_stored(described, block);
  const int along = spec.storage == Storage::out_in ? 0 : 1;
  Linear linear;
  linear.weight = load_parameter(weights, spec.weights, block, [&](const Weights& source) {
    const at::Tensor all = load_parts(source, spec.weights, spec.outputs, along, block, dtype);
    return spec.storage == Storage::in_out ? all.t() : all.flatten(1);
  });
  if (!spec.biases.empty())
    linear.bias = load_parameter(weights, spec.biases, block, [&](const Weights& source) {
      return load_parts(source, spec.biases, spec.outputs, 0, block, dtype);
    });
  std::int64_t first = 0;
  for (const TensorSpec& part : spec.weights) {
    const std::int64_t count = part.shape[static_cast<std::size_t>(along)];
    if (LayerHook* hook = weights.hook(weights.stem(part, block)))
      linear.watched.push_back({first, count, hook});
    first += count;
  }
  return linear;
}

}  // namespace deadray
