#include "verify/weights.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>

#include "host/catalogue.h"
#include "host/error.h"
#include "kernels/random_normal.h"
#include "verify/dtypes.h"

namespace deadray {

at::Tensor Weights::load(const TensorSpec& spec, std::int64_t block, at::ScalarType dtype) const {
  at::Tensor out = at::empty(spec.shape, dtype);
  read(spec, block, out);
  return out;
}

CheckpointWeights::CheckpointWeights(const Architecture& architecture, const Checkpoint& checkpoint)
    : Weights(checkpoint_prefix(architecture, checkpoint)), architecture_(architecture), checkpoint_(checkpoint) {}

const TensorInfo& CheckpointWeights::find(const TensorSpec& spec, std::int64_t block) const {
  const TensorInfo& tensor = checkpoint_.at(stored_name(architecture_, checkpoint_, name(spec.name, block)));
  if (tensor.shape != spec.shape)
    throw MalformedError(fmt::format("{}: tensor '{}' has shape [{}] but config.json gives [{}]", checkpoint_.files()[tensor.file].string(),
                                     tensor.name, fmt::join(tensor.shape, ", "), fmt::join(spec.shape, ", ")));
  checkpoint_.require_plain_float(tensor);
  return tensor;
}

bool CheckpointWeights::has_head() const { return deadray::has_head(architecture_, &checkpoint_); }

void CheckpointWeights::read(const TensorSpec& spec, std::int64_t block, at::Tensor out) const {
  const TensorInfo& tensor = find(spec, block);
  const auto stored = scalar_type(tensor.dtype);
  if (stored == out.scalar_type()) return checkpoint_.read(tensor, out.data_ptr());
  // Another dtype: through a buffer of 4 Mi elements, so that loading never takes twice the memory.
  constexpr std::int64_t kChunk = std::int64_t{1} << 22;
  const at::Tensor flat = out.view({-1});
  at::Tensor buffer = at::empty({std::min(kChunk, flat.numel())}, stored);
  for (std::int64_t first = 0; first < flat.numel(); first += kChunk) {
    const std::int64_t count = std::min(kChunk, flat.numel() - first);
    checkpoint_.read(tensor, first, count, buffer.data_ptr());
    flat.narrow(0, first, count).copy_(buffer.narrow(0, 0, count));
  }
}

void CheckpointWeights::read_rows(const TensorSpec& spec, const at::Tensor& ids, at::Tensor out) const {
  const TensorInfo& tensor = find(spec, -1);
  const std::int64_t width = spec.shape[1];
  const at::Tensor rows = at::empty({ids.numel(), width}, scalar_type(tensor.dtype));
  const auto* id = ids.const_data_ptr<std::int64_t>();
  auto* bytes = static_cast<std::byte*>(rows.data_ptr());
  const std::size_t row_bytes = static_cast<std::size_t>(width) * size_of(tensor.dtype);
  for (std::int64_t i = 0; i < ids.numel(); ++i)
    checkpoint_.read(tensor, id[i] * width, width, bytes + static_cast<std::size_t>(i) * row_bytes);
  out.copy_(rows);
}

void RandomWeights::fill(const TensorSpec& spec, std::int64_t block, std::int64_t first, at::Tensor out) const {
  if (spec.init.kind != Init::Kind::normal) {
    out.fill_(spec.init.kind == Init::Kind::ones ? 1.0 : 0.0);
    return;
  }
  const at::Tensor drawn = out.scalar_type() == at::kFloat ? out : at::empty(out.sizes(), at::kFloat);
  auto* values = drawn.data_ptr<float>();
  const std::uint64_t stream = kernels::stream_of(name(spec.name, block));
  const auto deviation = static_cast<float>(spec.init.deviation);
  at::parallel_for(0, drawn.numel(), std::int64_t{1} << 16, [&](std::int64_t begin, std::int64_t end) {
    kernels::random_normal(seed_, stream, first + begin, end - begin, deviation, values + begin);
  });
  if (!drawn.is_same(out)) out.copy_(drawn);
}

void RandomWeights::read(const TensorSpec& spec, std::int64_t block, at::Tensor out) const {
  fill(spec, block, 0, out);
  if (const std::int64_t row = spec.init.zero_row; row >= 0 && row < spec.shape[0]) out[row].zero_();
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

Linear load_linear(const Weights& weights, const LinearSpec& spec, std::int64_t block, at::ScalarType dtype) {
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
    at::Tensor all = at::empty(shape, dtype);
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
  return linear;
}

}  // namespace deadray
