#include "verify/calibration/tokens.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

#include "host/base/error.h"
#include "host/formats/checkpoint.h"
#include "host/formats/npy.h"
#include "kernels/operations/random_normal.h"
#include "verify/calibration/integers.h"
#include "verify/calibration/pictures.h"
#include "verify/calibration/pixels.h"

namespace deadray {

namespace {

constexpr std::string_view kIdsShape = "[batch, sequence]";

at::Tensor read_ids(const std::filesystem::path& path, const Architecture& architecture,
                    const CheckpointOptions& options, std::vector<std::string>& notes) {
  if (path.extension() == ".npy") {
    const IntegerMatrix array = read_npy(path);
    return at::from_blob(const_cast<std::int64_t*>(array.values.data()),
                         {array.rows, array.columns}, at::kLong)
        .clone();
  }
  if (path.extension() != ".safetensors")
    throw UnsupportedError(
        fmt::format("{}: tokens come as .npy (int32 or int64, [batch, sequence]) or .safetensors "
                    "with input_ids",
                    path.string()));
  const Checkpoint file = Checkpoint::open(path, options);
  notes = file.notes();
  for (const char* pixels : {kPicturesTensor, kClipsTensor})
    if (file.find("input_ids") == nullptr && file.find(pixels) != nullptr)
      throw UnsupportedError(
          fmt::format("{}: holds {}, but the model reads tokens: give input_ids [batch, sequence]",
                      path.string(), pixels));
  if (!architecture.vision && file.find("pixel_values") != nullptr)
    throw UnsupportedError(fmt::format("{}: holds pixel_values, but {} reads text alone",
                                       path.string(), architecture.family));
  if (file.find("attention_mask") != nullptr &&
      !read_integers(file, "attention_mask", kIdsShape).all().item<bool>())
    throw UnsupportedError(fmt::format(
        "{}: attention_mask hides tokens; give sequences of equal length without padding",
        path.string()));
  return read_integers(file, "input_ids", kIdsShape);
}

void check_extent(const at::Tensor& ids, const std::filesystem::path& path,
                  const Architecture& architecture) {
  if (ids.numel() == 0)
    throw MalformedError(fmt::format("{}: holds no tokens (shape [{}, {}])", path.string(),
                                     ids.size(0), ids.size(1)));
  if (architecture.max_positions > 0 && ids.size(1) > architecture.max_positions)
    throw MalformedError(
        fmt::format("{}: sequences of {} tokens, but the model takes {} at most; cut them with "
                    "--sequence-length",
                    path.string(), ids.size(1), architecture.max_positions));
}

void check_values(const at::Tensor& ids, const std::filesystem::path& path,
                  const Architecture& architecture) {
  for (const SpecialToken& token : architecture.special_tokens)
    if (const at::Tensor held = at::nonzero(ids.eq(token.id)); token.is_place && held.size(0) > 0)
      throw UnsupportedError(fmt::format(
          "{}: token {} at row {}, column {} is {}, the place of something else; deadray runs {}",
          path.string(), token.id, held[0][0].item<std::int64_t>(), held[0][1].item<std::int64_t>(),
          token.key, architecture.vision ? "text and pictures" : "text alone"));
  const at::Tensor outside = at::nonzero(ids.lt(0).logical_or_(ids.ge(architecture.vocab_size)));
  if (outside.size(0) == 0) return;
  const std::int64_t row = outside[0][0].item<std::int64_t>(),
                     column = outside[0][1].item<std::int64_t>();
  throw MalformedError(
      fmt::format("{}: token {} at row {}, column {} is outside the vocabulary of {} ({} such "
                  "tokens); was it made with another tokenizer?",
                  path.string(), ids[row][column].item<std::int64_t>(), row, column,
                  architecture.vocab_size, outside.size(0)));
}

}  // namespace

Calibration random_tokens(const Architecture& architecture, std::uint64_t seed,
                          std::int64_t sequences, std::int64_t length) {
  if (architecture.max_positions > 0) length = std::min(length, architecture.max_positions);
  std::set<std::int64_t> special;
  for (const SpecialToken& token : architecture.special_tokens)
    if (token.id < architecture.vocab_size) special.insert(token.id);
  const std::int64_t plain = architecture.vocab_size - static_cast<std::int64_t>(special.size());
  Calibration calibration{
      .ids = at::empty({sequences, length}, at::kLong), .kind = "random", .seed = seed};
  at::Tensor& ids = calibration.ids;
  kernels::random_uniform_int(seed, kernels::stream_of("tokens"), 0, ids.numel(),
                              static_cast<std::uint64_t>(plain), ids.data_ptr<std::int64_t>());
  for (const std::int64_t id : special)
    ids += ids.ge(id);  // in ascending order: the n-th plain token
  if (architecture.vision) draw_pictures(*architecture.vision, calibration);
  return calibration;
}

Calibration read_tokens(const std::filesystem::path& file, const Architecture& architecture,
                        const TokenFileOptions& options) {
  if (architecture.patches)
    return read_pixels(file, *architecture.patches, options.sequences, options.checkpoint);
  std::vector<std::string> notes;
  const at::Tensor stored = read_ids(file, architecture, options.checkpoint, notes);
  at::Tensor rows = stored;
  if (options.sequences > 0) rows = rows.narrow(0, 0, std::min(options.sequences, rows.size(0)));
  at::Tensor ids = rows;
  if (options.length > 0) ids = ids.narrow(1, 0, std::min(options.length, ids.size(1)));
  check_extent(ids, file, architecture);
  check_values(ids, file, architecture);
  Calibration calibration{.ids = ids.contiguous(), .kind = file.filename().string()};
  calibration.file = file;
  calibration.notes = std::move(notes);
  calibration.note_if_fewer(file, stored.size(0), options.sequences, "sequences");
  calibration.note_if_fewer(file, stored.size(1), options.length, "tokens a sequence");
  if (!architecture.vision) return calibration;
  const at::Tensor cut_off = rows.narrow(1, ids.size(1), rows.size(1) - ids.size(1));
  if (cut_off.eq(architecture.vision->token).any().item<bool>())
    throw UsageError(
        fmt::format("{}: sequences of {} tokens cut places of pictures off; give more with "
                    "--sequence-length, or none",
                    file.string(), ids.size(1)));
  const auto left_over =
      rows.size(0) < stored.size(0) ? LeftOverPictures::allowed : LeftOverPictures::refused;
  read_pictures(file, *architecture.vision, options.checkpoint, left_over, calibration);
  return calibration;
}

}  // namespace deadray
