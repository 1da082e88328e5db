#include "verify/forward/token_places.h"

#include <ATen/ATen.h>

#include "verify/layers/patches.h"

namespace deadray {

at::Tensor token_coordinates(const Architecture& architecture, std::int64_t length) {
  return architecture.patches ? patch_coordinates(*architecture.patches, length)
                              : at::arange(length, at::kFloat).unsqueeze(1);
}

at::Tensor picture_groups(const Architecture& architecture, const Calibration& calibration) {
  if (calibration.pictures.empty()) return {};
  const at::Tensor is_picture = calibration.ids.eq(architecture.vision->token);
  const at::Tensor before =
      at::constant_pad_nd(is_picture.narrow(1, 0, is_picture.size(1) - 1), {1, 0});
  const at::Tensor number = is_picture.logical_and(before.logical_not()).cumsum(1) - 1;
  return number.masked_fill(is_picture.logical_not(), -1);
}

}  // namespace deadray
