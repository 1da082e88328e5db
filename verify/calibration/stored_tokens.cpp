#include "verify/calibration/stored_tokens.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "host/base/error.h"
#include "host/formats/numpy/npy.h"
#include "verify/calibration/integers.h"
#include "verify/calibration/pixels.h"

namespace deadray {

namespace {

constexpr std::string_view kIdsShape = "[batch, sequence]";
constexpr const char* kMaskTensor = "attention_mask";
constexpr const char* kPositionsTensor = "position_ids";

void refuse_pixels(const Checkpoint& file, const Architecture& architecture) {
  const std::string path = file.path().string();
  for (const char* pixels : {kPicturesTensor, kClipsTensor})
    if (file.find("input_ids") == nullptr && file.find(pixels) != nullptr)
      throw UnsupportedError(
          fmt::format("{}: holds {}, but the model reads tokens: give input_ids [batch, sequence]",
                      path, pixels));
  if (!architecture.vision && file.find("pixel_values") != nullptr)
    throw UnsupportedError(
        fmt::format("{}: holds pixel_values, but {} reads text alone", path, architecture.family));
}

/// @param tensor  [batch, sequence], or one row where `one_row` allows it
void require_shape_of_ids(const at::Tensor& tensor, const at::Tensor& ids, bool one_row,
                          const Checkpoint& file, const char* name) {
  if (tensor.size(1) == ids.size(1) &&
      (tensor.size(0) == ids.size(0) || (one_row && tensor.size(0) == 1)))
    return;
  throw MalformedError(fmt::format("{}: tensor '{}' is [{}, {}], but input_ids is [{}, {}]",
                                   file.path().string(), name, tensor.size(0), tensor.size(1),
                                   ids.size(0), ids.size(1)));
}

at::Tensor read_positions(const Checkpoint& file, const Architecture& architecture) {
  for (const BlockSpec& kind : architecture.block_kinds)
    if (kind.attention.alibi)
      throw UnsupportedError(
          fmt::format("{}: holds position_ids, but {} has no positions that they could give: its "
                      "ALiBi counts the tokens that attention_mask keeps; leave position_ids out",
                      file.path().string(), architecture.family));
  return read_integers(file, kPositionsTensor, kIdsShape);
}

/// Throws for the first token that is marked, if any.
/// @param marked  [rows, columns] bool
template <class Message>
void refuse_marked(const at::Tensor& marked, Message&& message) {
  const at::Tensor places = at::nonzero(marked);
  if (places.size(0) == 0) return;
  throw MalformedError(message(places[0][0].item<std::int64_t>(), places[0][1].item<std::int64_t>(),
                               places.size(0)));
}

void check_extent(const at::Tensor& ids, const std::string& path,
                  const Architecture& architecture) {
  if (ids.numel() == 0)
    throw MalformedError(
        fmt::format("{}: holds no tokens (shape [{}, {}])", path, ids.size(0), ids.size(1)));
  if (architecture.max_positions > 0 && ids.size(1) > architecture.max_positions)
    throw MalformedError(
        fmt::format("{}: sequences of {} tokens, but the model takes {} at most; cut them with "
                    "--sequence-length",
                    path, ids.size(1), architecture.max_positions));
}

void check_ids(const at::Tensor& ids, const std::string& path, const Architecture& architecture) {
  for (const SpecialToken& token : architecture.special_tokens)
    if (const at::Tensor held = at::nonzero(ids.eq(token.id)); token.is_place && held.size(0) > 0)
      throw UnsupportedError(fmt::format(
          "{}: token {} at row {}, column {} is {}, the place of something else; deadray runs {}",
          path, token.id, held[0][0].item<std::int64_t>(), held[0][1].item<std::int64_t>(),
          token.key, architecture.vision ? "text and pictures" : "text alone"));
  const at::Tensor outside = ids.lt(0).logical_or_(ids.ge(architecture.vocab_size));
  refuse_marked(outside, [&](std::int64_t row, std::int64_t column, std::int64_t count) {
    return fmt::format(
        "{}: token {} at row {}, column {} is outside the vocabulary of {} ({} such tokens); was "
        "it made with another tokenizer?",
        path, ids[row][column].item<std::int64_t>(), row, column, architecture.vocab_size, count);
  });
}

void check_mask(const at::Tensor& attended, const std::string& path) {
  if (attended.defined() && !attended.any().item<bool>())
    throw MalformedError(fmt::format("{}: attention_mask hides every token", path));
}

/// Learned positions are rows of a table; rotary ones are computed in FP32, which holds whole
/// numbers up to 2^24.
void check_positions(const at::Tensor& positions, const std::string& path,
                     const Architecture& architecture) {
  if (!positions.defined()) return;
  const bool learned = architecture.tokens && architecture.tokens->positions;
  const std::int64_t least = learned ? -architecture.tokens->position_offset : 0,
                     end = learned ? architecture.max_positions : std::int64_t{1} << 24;
  refuse_marked(
      positions.lt(least).logical_or_(positions.ge(end)),
      [&](std::int64_t row, std::int64_t column, std::int64_t count) {
        return fmt::format(
            "{}: position {} at row {}, column {} of position_ids is outside the model's, {} to {} "
            "({} such positions)",
            path, positions[row][column].item<std::int64_t>(), row, column, least, end - 1, count);
      });
}

}  // namespace

StoredTokens StoredTokens::cut(std::int64_t sequences, std::int64_t length) const {
  StoredTokens part = *this;
  for (at::Tensor* tensor : {&part.ids, &part.attended, &part.position_ids}) {
    if (!tensor->defined()) continue;
    if (sequences > 0) *tensor = tensor->narrow(0, 0, std::min(sequences, tensor->size(0)));
    if (length > 0) *tensor = tensor->narrow(1, 0, std::min(length, tensor->size(1)));
  }
  return part;
}

StoredTokens read_stored_tokens(const std::filesystem::path& path, const Architecture& architecture,
                                const CheckpointOptions& options) {
  StoredTokens tokens;
  if (path.extension() == ".npy") {
    const IntegerMatrix array = read_npy(path);
    tokens.ids = at::from_blob(const_cast<std::int64_t*>(array.values.data()),
                               {array.rows, array.columns}, at::kLong)
                     .clone();
    return tokens;
  }
  if (path.extension() != ".safetensors")
    throw UnsupportedError(
        fmt::format("{}: tokens come as .npy (int32 or int64, [batch, sequence]) or .safetensors "
                    "with input_ids; --random-tokens N draws N",
                    path.string()));
  const Checkpoint file = Checkpoint::open(path, options);
  tokens.notes = file.notes();
  refuse_pixels(file, architecture);
  tokens.ids = read_integers(file, "input_ids", kIdsShape);
  if (file.find(kMaskTensor) != nullptr) {
    tokens.attended = read_mask(file, kMaskTensor);
    require_shape_of_ids(tokens.attended, tokens.ids, false, file, kMaskTensor);
  }
  if (file.find(kPositionsTensor) != nullptr) {
    tokens.position_ids = read_positions(file, architecture);
    require_shape_of_ids(tokens.position_ids, tokens.ids, true, file, kPositionsTensor);
  }
  return tokens;
}

void check_stored_tokens(const StoredTokens& tokens, const std::filesystem::path& file,
                         const Architecture& architecture) {
  const std::string path = file.string();
  check_extent(tokens.ids, path, architecture);
  check_ids(tokens.ids, path, architecture);
  check_mask(tokens.attended, path);
  check_positions(tokens.position_ids, path, architecture);
}

}  // namespace deadray
