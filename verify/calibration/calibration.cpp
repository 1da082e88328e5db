#include "verify/calibration/calibration.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

namespace deadray {

at::Tensor Calibration::counted() const {
  if (skip == 0) return attended;
  const at::Tensor kept =
      attended.defined() ? attended : at::ones({sequences(), length()}, at::kBool);
  return kept.logical_and(kept.cumsum(1).gt(skip));
}

std::int64_t Calibration::rows(std::int64_t first) const {
  const at::Tensor of_all = counted();
  return of_all.defined() ? of_all.narrow(0, 0, first).sum().item<std::int64_t>()
                          : first * length();
}

std::int64_t Calibration::masked() const {
  return attended.defined() ? attended.logical_not().sum().item<std::int64_t>() : 0;
}

void Calibration::note_if_fewer(const std::filesystem::path& from, std::int64_t held,
                                std::int64_t asked, std::string_view unit) {
  if (held < asked)
    notes.push_back(fmt::format("{}: holds {} {}, fewer than the {} asked for", from.string(), held,
                                unit, asked));
}

}  // namespace deadray
