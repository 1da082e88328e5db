#include "verify/calibration/tokens.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "host/base/error.h"
#include "kernels/operations/random_normal.h"
#include "verify/calibration/pictures.h"
#include "verify/calibration/pixels.h"
#include "verify/calibration/stored_tokens.h"

namespace deadray {

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
  StoredTokens stored = read_stored_tokens(file, architecture, options.checkpoint);
  const StoredTokens rows = stored.cut(options.sequences, 0), run = rows.cut(0, options.length);
  check_stored_tokens(run, file, architecture);
  const at::Tensor& ids = run.ids;
  Calibration calibration{.ids = ids.contiguous(), .kind = file.filename().string()};
  calibration.file = file;
  calibration.notes = std::move(stored.notes);
  calibration.note_if_fewer(file, stored.ids.size(0), options.sequences, "sequences");
  calibration.note_if_fewer(file, stored.ids.size(1), options.length, "tokens a sequence");
  if (run.attended.defined() && !run.attended.all().item<bool>())
    calibration.attended = run.attended.contiguous();
  calibration.position_ids = run.position_ids;
  if (!architecture.vision) return calibration;
  const at::Tensor cut_off = rows.ids.narrow(1, ids.size(1), rows.ids.size(1) - ids.size(1));
  if (cut_off.eq(architecture.vision->token).any().item<bool>())
    throw UsageError(
        fmt::format("{}: sequences of {} tokens cut places of pictures off; give more with "
                    "--sequence-length, or none",
                    file.string(), ids.size(1)));
  const auto left_over =
      rows.ids.size(0) < stored.ids.size(0) ? LeftOverPictures::allowed : LeftOverPictures::refused;
  read_pictures(file, *architecture.vision, options.checkpoint, left_over, calibration);
  return calibration;
}

}  // namespace deadray
