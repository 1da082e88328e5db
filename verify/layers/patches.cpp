#include "verify/layers/patches.h"

#include <ATen/ATen.h>

#include <optional>
#include <utility>

#include "verify/layers/linear.h"

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

}  // namespace

at::Tensor embed_patches(const Weights& weights, const PatchInput& input,
                         const Calibration& calibration, at::ScalarType dtype) {
  const at::Tensor& pixels = calibration.pixels;
  Linear projection = load_linear(weights, input.projection, -1, dtype);
  projection.weight = projection.weight.flatten(1);
  const std::int64_t d = projection.weight.size(0), rows = pixels.size(-2) / input.patch,
                     columns = pixels.size(-1) / input.patch;
  const auto tokens_of = [&](const std::optional<TensorSpec>& spec) {
    return spec ? weights.load(*spec, -1, dtype).view({-1, d}) : weights.empty({0, d}, dtype);
  };
  const at::Tensor class_token = tokens_of(input.class_token),
                   registers = tokens_of(input.register_tokens);
  at::Tensor positions;
  if (input.positions) positions = positions_for(input, tokens_of(input.positions), rows, columns);

  at::Tensor stream = weights.empty({calibration.sequences(), calibration.length(), d}, dtype);
  // One by one, so that not all patches are in memory at once.
  for (std::int64_t i = 0; i < stream.size(0); ++i) {
    at::Tensor x =
        at::cat({class_token, projection(cut(input, pixels[i]).to(stream.device(), dtype))});
    if (positions.defined()) x += positions;
    stream[i].copy_(at::cat({x.narrow(0, 0, class_token.size(0)), registers,
                             x.narrow(0, class_token.size(0), x.size(0) - class_token.size(0))}));
  }
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
