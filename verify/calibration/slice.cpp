#include "verify/calibration/slice.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "host/base/error.h"
#include "verify/calibration/pictures.h"

namespace deadray {
namespace {

/// Pictures that the places among these tokens hold.
std::vector<Picture> pictures_of(const Calibration& whole, const VisionTower& tower,
                                 std::int64_t first, std::int64_t count) {
  const at::Tensor is_place = whole.ids.eq(tower.token);
  const auto before = is_place.narrow(0, 0, first).sum().item<std::int64_t>(),
             here = is_place.narrow(0, first, count).sum().item<std::int64_t>();
  std::vector<Picture> pictures;
  std::int64_t place = 0;
  for (const Picture& picture : whole.pictures) {
    if (place >= before && place < before + here) pictures.push_back(picture);
    place += picture_tokens(tower, picture);
  }
  return pictures;
}

}  // namespace

Calibration slice(const Calibration& whole, const Architecture& architecture, std::int64_t index,
                  std::int64_t parts) {
  const std::int64_t n = whole.sequences();
  if (parts == 1) return whole;
  if (n < parts)
    throw UsageError(
        fmt::format("{} ranks for {} sequences: each takes whole sequences; start at most {}, or "
                    "give more with "
                    "--batch or a shorter --sequence-length",
                    parts, n, n));
  const std::int64_t first = index * n / parts, count = (index + 1) * n / parts - first;
  const auto of_rows = [&](const at::Tensor& rows) {
    return rows.defined() && rows.size(0) == n ? rows.narrow(0, first, count).contiguous() : rows;
  };
  Calibration part = whole;
  part.ids = of_rows(whole.ids);
  part.pixels = of_rows(whole.pixels);
  part.attended = of_rows(whole.attended);
  part.position_ids = of_rows(whole.position_ids);
  part.rows_before = whole.rows_before + (first > 0 ? whole.rows(first) : 0);
  // A rank without a row would not take part in the sums.
  if (part.rows() == 0 && whole.rows() > 0)
    throw UsageError(fmt::format(
        "{} ranks: no token of the sequences of rank {} counts, all are masked or skipped; start "
        "fewer ranks",
        parts, index));
  if (whole.pictures.empty()) return part;
  part.pictures = pictures_of(whole, *architecture.vision, first, count);
  if (part.pictures.empty())
    throw UsageError(
        fmt::format("{} ranks: the sequences of rank {} hold no picture, and others "
                    "do; start fewer ranks",
                    parts, index));
  return part;
}

}  // namespace deadray
