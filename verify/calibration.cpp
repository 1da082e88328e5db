#include "verify/calibration.h"

#include <fmt/format.h>

#include <algorithm>

#include "host/checkpoint.h"
#include "host/error.h"
#include "host/npy.h"
#include "kernels/random_normal.h"
#include "verify/pixels.h"

namespace deadray {

namespace {

at::Tensor read_integers(const Checkpoint& file, const std::string& name) {
  const TensorInfo& tensor = file.at(name);
  const bool is_long = tensor.dtype == DType::i64;
  if ((!is_long && tensor.dtype != DType::i32) || tensor.shape.size() != 2)
    throw MalformedError(fmt::format("{}: tensor '{}' is {} of rank {}, expected I64 or I32 [batch, sequence]", file.path().string(), name,
                                     tensor.stored_dtype, tensor.shape.size()));
  at::Tensor values = at::empty(tensor.shape, is_long ? at::kLong : at::kInt);
  if (values.numel() > 0) file.read(tensor, values.data_ptr());
  return values.to(at::kLong);
}

at::Tensor read_ids(const std::filesystem::path& path) {
  if (path.extension() == ".npy") {
    const IntegerMatrix array = read_npy(path);
    return at::from_blob(const_cast<std::int64_t*>(array.values.data()), {array.rows, array.columns}, at::kLong).clone();
  }
  if (path.extension() != ".safetensors")
    throw UnsupportedError(
        fmt::format("{}: tokens come as .npy (int32 or int64, [batch, sequence]) or .safetensors with input_ids", path.string()));
  const Checkpoint file = Checkpoint::open(path);
  for (const char* pixels : {kPicturesTensor, kClipsTensor})
    if (file.find("input_ids") == nullptr && file.find(pixels) != nullptr)
      throw UnsupportedError(
          fmt::format("{}: holds {}, but the model reads tokens: give input_ids [batch, sequence]", path.string(), pixels));
  if (file.find("attention_mask") != nullptr && !read_integers(file, "attention_mask").all().item<bool>())
    throw UnsupportedError(fmt::format("{}: attention_mask hides tokens; give sequences of equal length without padding", path.string()));
  return read_integers(file, "input_ids");
}

void check(const at::Tensor& ids, const std::filesystem::path& path, const Architecture& architecture) {
  if (ids.numel() == 0) throw MalformedError(fmt::format("{}: holds no tokens (shape [{}, {}])", path.string(), ids.size(0), ids.size(1)));
  if (architecture.max_positions > 0 && ids.size(1) > architecture.max_positions)
    throw MalformedError(fmt::format("{}: sequences of {} tokens, but the model takes {} at most; cut them with --sequence-length",
                                     path.string(), ids.size(1), architecture.max_positions));
  const at::Tensor outside = at::nonzero(ids.lt(0).logical_or_(ids.ge(architecture.vocab_size)));
  if (outside.size(0) == 0) return;
  const std::int64_t row = outside[0][0].item<std::int64_t>(), column = outside[0][1].item<std::int64_t>();
  throw MalformedError(
      fmt::format("{}: token {} at row {}, column {} is outside the vocabulary of {} ({} such tokens); was it made with another tokenizer?",
                  path.string(), ids[row][column].item<std::int64_t>(), row, column, architecture.vocab_size, outside.size(0)));
}

}  // namespace

Calibration random_tokens(const Architecture& architecture, std::uint64_t seed, std::int64_t sequences, std::int64_t length) {
  if (architecture.max_positions > 0) length = std::min(length, architecture.max_positions);
  at::Tensor ids = at::empty({sequences, length}, at::kLong);
  kernels::random_uniform_int(seed, kernels::stream_of("tokens"), 0, ids.numel(), architecture.vocab_size, ids.data_ptr<std::int64_t>());
  return {std::move(ids), "random", seed, {}, 0};
}

Calibration read_tokens(const std::filesystem::path& file, const Architecture& architecture, const TokenFileOptions& options) {
  if (architecture.patches) return read_pixels(file, *architecture.patches, options.sequences);
  at::Tensor ids = read_ids(file);
  if (options.sequences > 0) ids = ids.narrow(0, 0, std::min(options.sequences, ids.size(0)));
  if (options.length > 0) ids = ids.narrow(1, 0, std::min(options.length, ids.size(1)));
  check(ids, file, architecture);
  return {ids.contiguous(), file.filename().string(), 0, {}, 0};
}

}  // namespace deadray
