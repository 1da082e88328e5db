#include "verify/measure/dump.h"

#include <fmt/format.h>

#include "verify/base/dtypes.h"

namespace deadray {

Dump::Dump(const std::filesystem::path& file, const Architecture& architecture,
           const Calibration& calibration, at::ScalarType dtype, bool logits) {
  const DType type = dtype_of(dtype);
  const auto rows = [&](bool class_token_alone) {
    return class_token_alone ? calibration.sequences() : calibration.tokens();
  };
  std::vector<TensorDeclaration> tensors;
  for (std::int64_t node = 0; node <= architecture.n_blocks; ++node)
    tensors.push_back(
        {fmt::format("residual.{}", node), type, {rows(false), architecture.hidden_size}});
  if (logits)
    tensors.push_back(
        {"logits",
         type,
         {rows(architecture.head->reads_class_token), architecture.head->decoder.outputs}});
  if (architecture.ends_in_norm())
    tensors.push_back(
        {"final_norm.output",
         type,
         {rows(architecture.final_norm_reads_class_token), architecture.hidden_size}});
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
