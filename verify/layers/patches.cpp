#include "verify/layers/patches.h"

#include <ATen/ATen.h>

#include <optional>
#include <vector>

#include "verify/base/forward_mode.h"
#include "verify/layers/linear.h"
#include "verify/layers/parameter.h"

namespace deadray {

namespace {

/// One picture [channels, height, width] or clip [frames, channels, height, width] to [patches,
/// channels * tubelet * patch * patch], in the order of a convolution's weight. As with the
/// convolution, a remainder that fills no patch is left out.
at::Tensor cut(const PatchInput& input, const at::Tensor& pixels) {
  const std::int64_t p = input.patch, rows = pixels.size(-2) / p, columns = pixels.size(-1) / p;
  return pixels.narrow(-2, 0, rows * p)
      .narrow(-1, 0, columns * p)
      .reshape({-1, input.tubelet, input.channels, rows, p, columns, p})
      .permute({0, 3, 5, 2, 1, 4, 6})  // [time, row, column | channel, frame, y, x]
      .flatten(3)
      .flatten(0, 2);
}

/// The position table for a grid of rows x columns patches, [leading + rows * columns, d]: as it
/// is, or resized.
at::Tensor positions_for(const PatchInput& input, const at::Tensor& table, std::int64_t rows,
                         std::int64_t columns) {
  if (rows == input.rows() && columns == input.columns()) return table;
  const std::int64_t d = table.size(1), leading = input.class_token ? 1 : 0;
  using Resize = PatchInput::Resize;
  const bool fp32 = input.resize != Resize::bicubic || table.scalar_type() != at::kDouble;
  const at::Tensor grid = table.narrow(0, leading, table.size(0) - leading)
                              .to(fp32 ? at::kFloat : at::kDouble)
                              .view({1, input.rows(), input.columns(), d})
                              .permute({0, 3, 1, 2});
  const at::Tensor resized =
      input.resize == Resize::antialiased_fp32
          ? at::_upsample_bicubic2d_aa(grid, {rows, columns}, /*align_corners=*/false)
          : at::upsample_bicubic2d(grid, {rows, columns}, /*align_corners=*/false);
  return at::cat({table.narrow(0, 0, leading),
                  resized.permute({0, 2, 3, 1}).reshape({-1, d}).to(table.scalar_type())});
}

/// What becomes of patches, with its weights loaded.
class PatchEmbedding {
 public:
  PatchEmbedding(const Weights& weights, const PatchInput& input, const at::Tensor& pixels,
                 at::ScalarType dtype)
      : weights_(weights),
        dtype_(dtype),
        projection_(load_linear(weights, input.projection, -1, dtype)),
        class_token_(load(input.class_token)),
        registers_(load(input.register_tokens)) {
    if (const auto& spec = input.positions)
      positions_ = load_parameter(weights, {&*spec, 1}, -1, [&](const Weights& source) {
        return positions_for(input, rows_of(*spec, source), pixels.size(-2) / input.patch,
                             pixels.size(-1) / input.patch);
      });
  }
  std::int64_t width() const { return projection_.weight.value.size(0); }

  /// @param patches  [patches, ...]   @return [tokens, d]: class token, registers, patches
  at::Tensor operator()(const at::Tensor& patches) const {
    at::Tensor x = at::cat({class_token_(), projection_(patches)});
    if (positions_.defined()) x = added(x, positions_);
    const std::int64_t leading = class_token_.value.size(0);
    return at::cat(
        {x.narrow(0, 0, leading), registers_(), x.narrow(0, leading, x.size(0) - leading)});
  }

 private:
  at::Tensor rows_of(const TensorSpec& spec, const Weights& source) const {
    return source.load(spec, -1, dtype_).view({-1, width()});
  }
  /// No rows where the model has none.
  Parameter load(const std::optional<TensorSpec>& spec) const {
    const ForwardMode::Pause plain;
    if (!spec) return {weights_.empty({0, width()}, dtype_)};
    return load_parameter(weights_, {&*spec, 1}, -1,
                          [&](const Weights& source) { return rows_of(*spec, source); });
  }

  const Weights& weights_;
  at::ScalarType dtype_;
  Linear projection_;
  Parameter class_token_, registers_, positions_;
};

}  // namespace

at::Tensor embed_patches(const Weights& weights, const PatchInput& input,
                         const Calibration& calibration, at::ScalarType dtype) {
  const at::Tensor& pixels = calibration.pixels;
  const PatchEmbedding embedding(weights, input, pixels, dtype);
  const auto tokens_of = [&](std::int64_t i) {
    return embedding(cut(input, pixels[i]).to(weights.backend().device(), dtype));
  };
  // One by one, so that not all patches are in memory at once.
  if (ForwardMode::current() != nullptr) {  // which can write no derivatives in place
    std::vector<at::Tensor> pictures;
    for (std::int64_t i = 0; i < calibration.sequences(); ++i) pictures.push_back(tokens_of(i));
    return at::stack(pictures);
  }
  at::Tensor stream =
      weights.empty({calibration.sequences(), calibration.length(), embedding.width()}, dtype);
  for (std::int64_t i = 0; i < stream.size(0); ++i) stream[i].copy_(tokens_of(i));
  return stream;
}

at::Tensor patch_coordinates(const PatchInput& input, std::int64_t length) {
  const at::Tensor number = at::arange(length, at::kLong);
  const std::int64_t columns = input.columns(), of_one_time = input.rows() * columns;
  const at::Tensor place = number.remainder(of_one_time);
  return at::stack({number.floor_divide(of_one_time), place.floor_divide(columns),
                    place.remainder(columns)},
                   1)
      .to(at::kFloat);
}

}  // namespace deadray
