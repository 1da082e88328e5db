#include "verify/calibration/pixels.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "host/base/error.h"
#include "kernels/operations/random_normal.h"
#include "verify/base/dtypes.h"

namespace deadray {

namespace {

bool reads_clips(const PatchInput& input) { return input.frames > 0; }
const char* tensor_of(const PatchInput& input) {
  return reads_clips(input) ? kClipsTensor : kPicturesTensor;
}

/// [count, (frames,) channels, height, width] of the size that the model was made for.
std::vector<std::int64_t> shape_of(const PatchInput& input, std::int64_t count) {
  if (reads_clips(input)) return {count, input.frames, input.channels, input.height, input.width};
  return {count, input.channels, input.height, input.width};
}

std::string expected_shape(const PatchInput& input) {
  return fmt::format("[{}, {}, height, width]", reads_clips(input) ? "clips, frames" : "pictures",
                     input.channels);
}

/// @param at  where the tensor is, for messages
void check_shape(const PatchInput& input, const TensorInfo& tensor, const std::string& at) {
  const auto& shape = tensor.shape;
  const std::size_t rank = reads_clips(input) ? 5 : 4;
  if (shape.size() != rank || shape[rank - 3] != input.channels)
    throw MalformedError(fmt::format("{} has shape [{}], expected {}", at, fmt::join(shape, ", "),
                                     expected_shape(input)));
  if (std::find(shape.begin(), shape.end(), 0) != shape.end())
    throw MalformedError(
        fmt::format("{} holds no pixels (shape [{}])", at, fmt::join(shape, ", ")));
  const std::int64_t height = shape[rank - 2], width = shape[rank - 1];
  const bool whole = height % input.patch == 0 && width % input.patch == 0,
             own = height == input.height && width == input.width;
  if (!whole && !own)
    throw MalformedError(
        fmt::format("{} is {} by {} pixels, expected multiples of the patch, {}, or the model's "
                    "own size, {} by {}",
                    at, height, width, input.patch, input.height, input.width));
  if (reads_clips(input) && shape[1] % input.tubelet != 0)
    throw MalformedError(
        fmt::format("{} has clips of {} frames, expected a multiple of the tubelet, {}", at,
                    shape[1], input.tubelet));
}

void check_finite(const at::Tensor& pixels, const std::string& at) {
  const at::Tensor wrong = at::nonzero(at::isfinite(pixels).logical_not());
  if (wrong.size(0) == 0) return;
  std::vector<std::int64_t> place;
  for (std::int64_t axis = 0; axis < wrong.size(1); ++axis)
    place.push_back(wrong[0][axis].item<std::int64_t>());
  throw MalformedError(fmt::format("{} is not finite at [{}] ({} such pixels)", at,
                                   fmt::join(place, ", "), wrong.size(0)));
}

const TensorInfo& find_pixels(const Checkpoint& file, const PatchInput& input) {
  const char* name = tensor_of(input);
  if (const TensorInfo* tensor = file.find(name)) return *tensor;
  std::string found;
  for (const TensorInfo& tensor : file.tensors())
    found += (found.empty() ? "'" : ", '") + tensor.name + "'";
  if (file.tensors().size() > 8) found = fmt::format("{} tensors", file.tensors().size());
  throw MalformedError(fmt::format("{}: no tensor '{}': the model reads pixels, {}; found {}",
                                   file.path().string(), name, expected_shape(input),
                                   found.empty() ? "nothing" : found));
}

}  // namespace

const char* pixel_unit(const PatchInput& input) { return reads_clips(input) ? "clip" : "picture"; }

std::int64_t tokens_of_each(const PatchInput& input, const at::Tensor& pixels) {
  std::int64_t tokens = pixels.size(-2) / input.patch * (pixels.size(-1) / input.patch);
  if (reads_clips(input)) tokens *= pixels.size(1) / input.tubelet;
  if (input.class_token) ++tokens;
  if (input.register_tokens) tokens += input.register_tokens->shape[1];
  return tokens;
}

std::int64_t tokens_of_each(const PatchInput& input) {
  return tokens_of_each(input, at::empty(shape_of(input, 1), at::kMeta));
}

Calibration random_pixels(const PatchInput& input, std::uint64_t seed, std::int64_t count) {
  at::Tensor pixels = at::empty(shape_of(input, count), at::kFloat);
  kernels::random_normal(seed, kernels::stream_of("pixels"), 0, pixels.numel(), 1.0F,
                         pixels.data_ptr<float>());
  const std::int64_t length = tokens_of_each(input, pixels);
  return {{}, "random pixels", seed, std::move(pixels), length};
}

Calibration read_pixels(const std::filesystem::path& path, const PatchInput& input,
                        std::int64_t count, const CheckpointOptions& options) {
  if (path.extension() != ".safetensors")
    throw UnsupportedError(
        fmt::format("{}: the model reads pixels: they come as .safetensors with {} {}",
                    path.string(), tensor_of(input), expected_shape(input)));
  const Checkpoint file = Checkpoint::open(path, options);
  const TensorInfo& tensor = find_pixels(file, input);
  const std::string at = fmt::format("{}: tensor '{}'", path.string(), tensor.name);
  check_shape(input, tensor, at);
  if (!is_plain_float(tensor.dtype))
    throw MalformedError(
        fmt::format("{} is {}, expected a float type: what the model's processor yields", at,
                    tensor.stored_dtype));
  auto shape = tensor.shape;
  if (count > 0) shape[0] = std::min(count, shape[0]);
  at::Tensor stored = at::empty(shape, scalar_type(tensor.dtype));
  file.read(tensor, 0, stored.numel(), stored.data_ptr());
  at::Tensor pixels = stored.to(at::kFloat);
  check_finite(pixels, at);
  const std::int64_t length = tokens_of_each(input, pixels);
  Calibration calibration{{}, path.filename().string(), 0, std::move(pixels), length};
  calibration.notes = file.notes();
  calibration.file = path;
  calibration.note_if_fewer(path, tensor.shape[0], count, fmt::format("{}s", pixel_unit(input)));
  return calibration;
}

}  // namespace deadray
