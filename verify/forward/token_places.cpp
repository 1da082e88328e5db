#include "verify/forward/token_places.h"

#include <ATen/ATen.h>

#include "verify/layers/patches.h"

namespace deadray {

namespace {

at::Tensor coordinates_of(const Architecture& architecture, const Calibration& calibration) {
  if (architecture.patches)
    return patch_coordinates(*architecture.patches, calibration.length()).unsqueeze(0);
  return text_positions(calibration, Counting::all).to(at::kFloat).unsqueeze(2);
}

at::Tensor picture_groups(const Architecture& architecture, const Calibration& calibration) {
  if (calibration.pictures.empty()) return {};
  const at::Tensor is_picture = calibration.ids.eq(architecture.vision->token);
  const at::Tensor before =
      at::constant_pad_nd(is_picture.narrow(1, 0, is_picture.size(1) - 1), {1, 0});
  const at::Tensor number = is_picture.logical_and(before.logical_not()).cumsum(1) - 1;
  return number.masked_fill(is_picture.logical_not(), -1);
}

}  // namespace

TokenPlaces token_places(const Architecture& architecture, const Calibration& calibration) {
  return {coordinates_of(architecture, calibration), calibration.attended,
          picture_groups(architecture, calibration)};
}

at::Tensor text_positions(const Calibration& calibration, Counting counting) {
  if (calibration.position_ids.defined()) return calibration.position_ids;
  return count_positions(counting, calibration.attended, calibration.length());
}

}  // namespace deadray
