#include "verify/weights/checkpoint_weights.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstddef>
#include <utility>

#include "host/architecture/catalogue.h"
#include "host/base/error.h"
#include "verify/base/dtypes.h"
#include "verify/weights/finite_values.h"
#include "verify/weights/fp8.h"

namespace deadray {

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
  // Where there is no such tensor, at() says what is missing.
  const TensorInfo& tensor = place.tensor != nullptr ? *place.tensor : checkpoint_.at(own);
  const auto& shape = spec.fused && tensor.name != own ? spec.fused->shape : spec.shape;
  if (tensor.elements() == 0)
    throw MalformedError(
        fmt::format("{}: tensor '{}' is empty: a shard that was not gathered? Save the model again "
                    "with its parameters gathered",
                    checkpoint_.files()[tensor.file].string(), tensor.name));
  if (tensor.shape != shape)
    throw MalformedError(fmt::format("{}: tensor '{}' has shape [{}] but config.json gives [{}]",
                                     checkpoint_.files()[tensor.file].string(), tensor.name,
                                     fmt::join(tensor.shape, ", "), fmt::join(shape, ", ")));
  if (!is_fp8(tensor.dtype)) checkpoint_.require_plain_float(tensor);
  return place;
}

std::vector<const TensorInfo*> CheckpointWeights::dense_matrices(const BlockSpec& block,
                                                                 std::int64_t index) const {
  std::vector<const TensorInfo*> tensors;
  for_each_linear(block, [&](const LinearSpec& linear, std::int64_t copies) {
    if (copies > 1) return;  // experts: only the tokens will say which of them
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

void CheckpointWeights::read_fp8(const Place& place, at::Tensor out) const {
  const Fp8Weight weight(checkpoint_, *place.tensor);
  backend_->fill(out, [&](std::int64_t first, std::int64_t count, void* to) {
    const at::Tensor target = at::from_blob(to, {count}, out.scalar_type());
    const at::Tensor buffer = at::empty({std::min(kConvertedAtOnce, count)}, at::kFloat);
    for (std::int64_t done = 0; done < count; done += kConvertedAtOnce) {
      const std::int64_t n = std::min(kConvertedAtOnce, count - done);
      weight.read(place.first + first + done, n, buffer.data_ptr<float>());
      require_finite(checkpoint_, *place.tensor, DType::f32, place.first + first + done, n,
                     buffer.data_ptr());
      target.narrow(0, done, n).copy_(buffer.narrow(0, 0, n));
    }
  });
}

void CheckpointWeights::read(const TensorSpec& spec, std::int64_t block, at::Tensor out) const {
  const Place place = find(spec, block);
  const TensorInfo& tensor = *place.tensor;
  if (is_fp8(tensor.dtype)) return read_fp8(place, std::move(out));
  const auto stored = scalar_type(tensor.dtype), wanted = out.scalar_type();
  backend_->fill(out, [&](std::int64_t first, std::int64_t count, void* to) {
    first += place.first;
    if (stored == wanted) {
      checkpoint_.read(tensor, first, count, to);
      return require_finite(checkpoint_, tensor, tensor.dtype, first, count, to);
    }
    // Another dtype: through a buffer, so that loading never takes twice the memory.
    const at::Tensor target = at::from_blob(to, {count}, wanted),
                     buffer = at::empty({std::min(kConvertedAtOnce, count)}, stored);
    for (std::int64_t done = 0; done < count; done += kConvertedAtOnce) {
      const std::int64_t n = std::min(kConvertedAtOnce, count - done);
      checkpoint_.read(tensor, first + done, n, buffer.data_ptr());
      require_finite(checkpoint_, tensor, tensor.dtype, first + done, n, buffer.data_ptr());
      target.narrow(0, done, n).copy_(buffer.narrow(0, 0, n));
    }
  });
}

void CheckpointWeights::read_rows(const TensorSpec& spec, const at::Tensor& ids,
                                  at::Tensor out) const {
  const TensorInfo& tensor = *find(spec, -1).tensor;
  const std::int64_t width = spec.shape[1];
  const auto* id = ids.const_data_ptr<std::int64_t>();
  if (is_fp8(tensor.dtype)) {
    const Fp8Weight weight(checkpoint_, tensor);
    const at::Tensor rows = at::empty({ids.numel(), width}, at::kFloat);
    for (std::int64_t i = 0; i < ids.numel(); ++i) {
      float* row = rows.data_ptr<float>() + i * width;
      weight.read(id[i] * width, width, row);
      require_finite(checkpoint_, tensor, DType::f32, id[i] * width, width, row);
    }
    out.copy_(rows);
    return;
  }
  const at::Tensor rows = at::empty({ids.numel(), width}, scalar_type(tensor.dtype));
  auto* bytes = static_cast<std::byte*>(rows.data_ptr());
  const std::size_t row_bytes = static_cast<std::size_t>(width) * size_of(tensor.dtype);
  for (std::int64_t i = 0; i < ids.numel(); ++i) {
    std::byte* row = bytes + static_cast<std::size_t>(i) * row_bytes;
    checkpoint_.read(tensor, id[i] * width, width, row);
    require_finite(checkpoint_, tensor, tensor.dtype, id[i] * width, width, row);
  }
  out.copy_(rows);
}

}  // namespace deadray
