#include "verify/weights.h"

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
  at::Tensor out = empty(spec.shape, dtype);
  read(spec, block, out);
  return out;
}

CheckpointWeights::CheckpointWeights(const Architecture& architecture, const Checkpoint& checkpoint, Backend& backend)
    : Weights(checkpoint_prefix(architecture, checkpoint), backend), architecture_(architecture), checkpoint_(checkpoint) {}

const TensorInfo& CheckpointWeights::find(const TensorSpec& spec, std::int64_t block) const {
  const TensorInfo& tensor = checkpoint_.at(stored_name(architecture_, checkpoint_, name(spec.name, block)));
  if (tensor.shape != spec.shape)
    throw MalformedError(fmt::format("{}: tensor '{}' has shape [{}] but config.json gives [{}]", checkpoint_.files()[tensor.file].string(),
                                     tensor.name, fmt::join(tensor.shape, ", "), fmt::join(spec.shape, ", ")));
  checkpoint_.require_plain_float(tensor);
  return tensor;
}

const LinearSpec& CheckpointWeights::as_stored(const LinearSpec& spec, std::int64_t block) const {
  return deadray::as_stored(architecture_, checkpoint_, prefix_, spec, block);
}

bool CheckpointWeights::has_head() const { return deadray::has_head(architecture_, &checkpoint_); }

void CheckpointWeights::read(const TensorSpec& spec, std::int64_t block, at::Tensor out) const {
  const TensorInfo& tensor = find(spec, block);
  const auto stored = scalar_type(tensor.dtype), wanted = out.scalar_type();
  backend_->fill(out, [&](std::int64_t first, std::int64_t count, void* to) {
    if (stored == wanted) return checkpoint_.read(tensor, first, count, to);
    // Another dtype: through a buffer of 4 Mi elements, so that loading never takes twice the memory.
    constexpr std::int64_t kChunk = std::int64_t{1} << 22;
    const at::Tensor place = at::from_blob(to, {count}, wanted), buffer = at::empty({std::min(kChunk, count)}, stored);
    for (std::int64_t done = 0; done < count; done += kChunk) {
      const std::int64_t n = std::min(kChunk, count - done);
      checkpoint_.read(tensor, first + done, n, buffer.data_ptr());
      place.narrow(0, done, n).copy_(buffer.narrow(0, 0, n));
    }
  });
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
    out.fill_(spec.init.kind == Init::Kind::constant ? spec.init.deviation : spec.init.kind == Init::Kind::ones ? 1.0 : 0.0);
    return;
  }
  const at::Tensor drawn = out.scalar_type() == at::kFloat ? out : empty(out.sizes(), at::kFloat);
  backend_->random_normal(seed_, kernels::stream_of(name(spec.name, block)), first, static_cast<float>(spec.init.deviation), drawn);
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

Linear load_linear(const Weights& weights, const LinearSpec& described, std::int64_t block, at::ScalarType dtype) {
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
  return linear;
}

}  // namespace deadray
