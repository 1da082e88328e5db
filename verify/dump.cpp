#include "verify/dump.h"

#include <fmt/format.h>

#include "verify/dtypes.h"

namespace deadray {

Dump::Dump(const std::filesystem::path& file, const Architecture& architecture, std::int64_t tokens, at::ScalarType dtype, bool logits) {
  const DType type = dtype_of(dtype);
  const std::vector<std::int64_t> stream_shape = {tokens, architecture.hidden_size};
  std::vector<TensorDeclaration> tensors;
  for (std::int64_t node = 0; node <= architecture.n_blocks; ++node)
    tensors.push_back({fmt::format("residual.{}", node), type, stream_shape});
  if (logits) tensors.push_back({"logits", type, {tokens, architecture.vocab_size}});
  if (architecture.ends_in_norm()) tensors.push_back({"final_norm.output", type, stream_shape});
  writer_.emplace(file, tensors);
}

void Dump::append(const at::Tensor& values) {
  const at::Tensor dense = values.cpu().contiguous();
  writer_->append(std::span(static_cast<const std::byte*>(dense.const_data_ptr()), dense.nbytes()));
}

void Dump::finish() {
  for (const at::Tensor& tile : final_tiles_) append(tile);
  writer_->finish();
}

}  // namespace deadray
