#include "verify/layers/weights.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>

#include "host/architecture/catalogue.h"
#include "host/base/error.h"
#include "host/base/stopwatch.h"
#include "kernels/operations/random_normal.h"
#include "verify/base/dtypes.h"
#include "verify/layers/forward_mode.h"

namespace deadray {

namespace {

constexpr std::int64_t kChunk = std::int64_t{1} << 22;  // elements that are converted at once

}  // namespace

at::Tensor Weights::load(const TensorSpec& spec, std::int64_t block, at::ScalarType dtype) const {
  at::Tensor out = empty(spec.shape, dtype);
  read(spec, block, out);
  return out;
}

std::string Weights::stem(const TensorSpec& spec, std::int64_t block) const {
  const std::string whole = name(spec.name, block);
  return whole.substr(0, whole.rfind('.'));
}

void Weights::load_now(const std::function<void()>& work) const {
  const Stopwatch watch;
  const ForwardMode::Pause plain;
  backend_->load(work);
  waited_ += watch.seconds();
}

CheckpointWeights::CheckpointWeights(const Architecture& architecture, const Checkpoint& checkpoint,
                                     Backend& backend)
    : Weights(checkpoint_prefix(architecture, checkpoint), backend),
      architecture_(architecture),
      checkpoint_(checkpoint) {}

CheckpointWeights::Place CheckpointWeights::look_up(const TensorSpec& spec,
                                                    std::int64_t block) const {
  if (const TensorInfo* own =
          checkpoint_.find(stored_name(architecture_, checkpoint_, name(spec.name, block))))
    return {own, 0};
  if (!spec.fused) return {nullptr, 0};
  return {checkpoint_.find(name(spec.fused->name, block)), spec.fused->first};
}

CheckpointWeights::Place CheckpointWeights::find(const TensorSpec& spec, std::int64_t block) const {
  const Place place = look_up(spec, block);
  const std::string own = stored_name(architecture_, checkpoint_, name(spec.name, block));
  const TensorInfo& tensor =
      place.tensor != nullptr ? *place.tensor : checkpoint_.at(own);  // which says what is missing
  const auto& shape = spec.fused && tensor.name != own ? spec.fused->shape : spec.shape;
  if (tensor.shape != shape)
    throw MalformedError(fmt::format("{}: tensor '{}' has shape [{}] but config.json gives [{}]",
                                     checkpoint_.files()[tensor.file].string(), tensor.name,
                                     fmt::join(tensor.shape, ", "), fmt::join(shape, ", ")));
  checkpoint_.require_plain_float(tensor);
  return place;
}

std::vector<const TensorInfo*> CheckpointWeights::dense_matrices(const BlockSpec& block,
                                                                 std::int64_t index) const {
  std::vector<const TensorInfo*> tensors;
  for_each_linear(block, [&](const LinearSpec& linear, std::int64_t copies) {
    if (copies > 1) return;  // experts: which of them, the tokens will say
    for (const TensorSpec& part : as_stored(linear, index).weights)
      if (const TensorInfo* tensor = look_up(part, index).tensor) tensors.push_back(tensor);
  });
  return tensors;
}

void CheckpointWeights::will_need(const BlockSpec& block, std::int64_t index) const {
  for (const TensorInfo* tensor : dense_matrices(block, index)) checkpoint_.will_need(*tensor);
}

const LinearSpec& CheckpointWeights::as_stored(const LinearSpec& spec, std::int64_t block) const {
  return deadray::as_stored(architecture_, checkpoint_, prefix_, spec, block);
}

std::string CheckpointWeights::stem(const TensorSpec& spec, std::int64_t block) const {
  const std::string whole = stored_name(architecture_, checkpoint_, name(spec.name, block));
  return whole.substr(0, whole.rfind('.'));
}

bool CheckpointWeights::has_head() const { return deadray::has_head(architecture_, &checkpoint_); }

void CheckpointWeights::read(const TensorSpec& spec, std::int64_t block, at::Tensor out) const {
  const Place place = find(spec, block);
  const TensorInfo& tensor = *place.tensor;
  const auto stored = scalar_type(tensor.dtype), wanted = out.scalar_type();
  backend_->fill(out, [&](std::int64_t first, std::int64_t count, void* to) {
    first += place.first;
    if (stored == wanted) return checkpoint_.read(tensor, first, count, to);
    // Another dtype: through a buffer, so that loading never takes twice the memory.
    const at::Tensor target = at::from_blob(to, {count}, wanted),
                     buffer = at::empty({std::min(kChunk, count)}, stored);
    for (std::int64_t done = 0; done < count; done += kChunk) {
      const std::int64_t n = std::min(kChunk, count - done);
      checkpoint_.read(tensor, first + done, n, buffer.data_ptr());
      target.narrow(0, done, n).copy_(buffer.narrow(0, 0, n));
    }
  });
}

void CheckpointWeights::read_rows(const TensorSpec& spec, const at::Tensor& ids,
                                  at::Tensor out) const {
  const TensorInfo& tensor = *find(spec, -1).tensor;
  const std::int64_t width = spec.shape[1];
  const at::Tensor rows = at::empty({ids.numel(), width}, scalar_type(tensor.dtype));
  const auto* id = ids.const_data_ptr<std::int64_t>();
  auto* bytes = static_cast<std::byte*>(rows.data_ptr());
  const std::size_t row_bytes = static_cast<std::size_t>(width) * size_of(tensor.dtype);
  for (std::int64_t i = 0; i < ids.numel(); ++i)
    checkpoint_.read(tensor, id[i] * width, width, bytes + static_cast<std::size_t>(i) * row_bytes);
  out.copy_(rows);
}

void RandomWeights::fill(const TensorSpec& spec, std::int64_t block, std::int64_t first,
                         at::Tensor out) const {
  if (spec.init.kind != Init::Kind::normal) {
    out.fill_(spec.init.kind == Init::Kind::constant ? spec.init.deviation
              : spec.init.kind == Init::Kind::ones   ? 1.0
                                                     : 0.0);
    return;
  }
  const std::uint64_t stream = kernels::stream_of(name(spec.name, block));
  const auto deviation = static_cast<float>(spec.init.deviation);
  if (out.scalar_type() == at::kFloat)
    return backend_->random_normal(seed_, stream, first, deviation, out);
  // Another dtype: through a buffer, so that drawing never takes twice the memory.
  const at::Tensor place = out.view({-1}),
                   buffer = empty({std::min(kChunk, place.numel())}, at::kFloat);
  for (std::int64_t done = 0; done < place.numel(); done += kChunk) {
    const std::int64_t n = std::min(kChunk, place.numel() - done);
    const at::Tensor drawn = buffer.narrow(0, 0, n);
    backend_->random_normal(seed_, stream, first + done, deviation, drawn);
    place.narrow(0, done, n).copy_(drawn);
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

namespace {

using LinearPointwise = at::Tensor(const at::Tensor& x, const at::Tensor& weight,
                                   const std::optional<at::Tensor>& bias,
                                   c10::string_view attribute,
                                   c10::List<std::optional<at::Scalar>> scalars,
                                   std::optional<c10::string_view> algorithm);

/// oneDNN's FP32 product on the CPU; at::linear takes MKL's, which is slower where the vendor of
/// the processor is another (1.1 to 1.6 times, measured on an AVX-512 machine). None in a libtorch
/// without oneDNN.
std::optional<c10::TypedOperatorHandle<LinearPointwise>> find_onednn_linear() {
  const auto schema = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
  return schema ? std::optional(schema->typed<LinearPointwise>()) : std::nullopt;
}

/// y = x weight^T + bias.
at::Tensor multiply(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  static const auto kOneDnn = find_onednn_linear();
  // It has no derivatives, so only where none are wanted.
  if (kOneDnn && x.is_cpu() && x.scalar_type() == at::kFloat && c10::InferenceMode::is_enabled() &&
      x.numel() > 0)
    return kOneDnn->call(x, weight, bias.defined() ? std::optional(bias) : std::nullopt, "none",
                         c10::List<std::optional<at::Scalar>>(), "");
  return at::linear(x, weight, bias);
}

}  // namespace

at::Tensor Linear::operator()(const at::Tensor& x) const {
  at::Tensor y = multiply(x, weight, bias);
  for (const auto& [first, count, hook] : watched) {
    const at::Tensor part = (*hook)(x, y.narrow(-1, first, count), weight.narrow(0, first, count));
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
  const auto gather = [&](const std::vector<TensorSpec>& parts, int axis) {
    if (parts.size() == 1) return weights.load(parts[0], block, dtype);
    if (axis != 0) {
      std::vector<at::Tensor> loaded;
      for (const TensorSpec& part : parts) loaded.push_back(weights.load(part, block, dtype));
      return at::cat(loaded, axis);
    }
    auto shape = parts[0].shape;
    shape[0] = spec.outputs;
    at::Tensor all = weights.empty(shape, dtype);
    std::int64_t row = 0;
    for (const TensorSpec& part : parts) {  // straight into place: no second copy in memory
      weights.read(part, block, all.narrow(0, row, part.shape[0]));
      row += part.shape[0];
    }
    return all;
  };
  Linear linear;
  linear.weight = gather(spec.weights, along);
  if (spec.storage == Storage::in_out) linear.weight = linear.weight.t();
  if (!spec.biases.empty()) linear.bias = gather(spec.biases, 0);
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
