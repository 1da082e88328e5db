#include "verify/calibration/pictures.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "host/base/error.h"
#include "kernels/operations/random_normal.h"
#include "verify/base/dtypes.h"
#include "verify/calibration/integers.h"

namespace deadray {

std::int64_t picture_tokens(const VisionTower& tower, const Picture& picture) {
  return picture.rows * picture.columns / (tower.pooling * tower.pooling);
}

namespace {

/// Cuts the padding off and checks what is left: a grid, row by row, of whole blocks.
Picture unpadded(const at::Tensor& patches, const at::Tensor& places, const VisionTower& tower,
                 const std::string& at) {
  const std::int64_t n = places.ge(0).all(1).sum().item<std::int64_t>();
  const at::Tensor real = places.narrow(0, 0, n);
  Picture picture;
  picture.patches = patches.narrow(0, 0, n).contiguous();
  if (n > 0) {
    picture.columns = real.select(1, 0).max().item<std::int64_t>() + 1;
    picture.rows = real.select(1, 1).max().item<std::int64_t>() + 1;
  }
  const at::Tensor index = at::arange(n, at::kLong);
  const bool is_grid = n > 0 && picture.rows * picture.columns == n &&
                       real.select(1, 0).equal(index.remainder(picture.columns)) &&
                       real.select(1, 1).equal(index.floor_divide(picture.columns));
  if (!is_grid || picture.rows % tower.pooling != 0 || picture.columns % tower.pooling != 0)
    throw MalformedError(
        fmt::format("{}: its {} patches, up to column {} and row {}, are no grid, row by row, with "
                    "sides divisible by {}; give what the model's processor makes",
                    at, n, picture.columns - 1, picture.rows - 1, tower.pooling));
  if (const std::int64_t most = tower.positions.shape[1];
      std::max(picture.rows, picture.columns) > most)
    throw MalformedError(fmt::format("{}: {} by {} patches, but the model has positions for {}", at,
                                     picture.rows, picture.columns, most));
  if (!picture.patches.isfinite().all().item<bool>())
    throw MalformedError(at + ": pixel_values is not finite");
  return picture;
}

std::vector<Picture> all_pictures(const Checkpoint& file, const VisionTower& tower) {
  const TensorInfo& info = file.at("pixel_values");
  file.require_plain_float(info);
  const at::Tensor places = read_integers(file, "image_position_ids", "[pictures, patches, 2]");
  const std::int64_t pixels = tower.patches.inputs;
  if (info.shape.size() != 3 || info.shape[2] != pixels || places.size(2) != 2 ||
      places.size(0) != info.shape[0] || places.size(1) != info.shape[1])
    throw MalformedError(fmt::format(
        "{}: pixel_values has shape [{}] and image_position_ids [{}], expected "
        "[pictures, patches, {}] and [pictures, patches, 2]; give what the model's processor makes",
        file.path().string(), fmt::join(info.shape, ", "), fmt::join(places.sizes(), ", "),
        pixels));
  std::vector<Picture> pictures;
  for (std::int64_t i = 0; i < info.shape[0]; ++i) {
    const at::Tensor patches = at::empty({info.shape[1], pixels}, scalar_type(info.dtype));
    file.read(info, i * patches.numel(), patches.numel(), patches.data_ptr());
    pictures.push_back(unpadded(patches.to(at::kFloat), places[i], tower,
                                fmt::format("{}: picture {}", file.path().string(), i)));
  }
  return pictures;
}

}  // namespace

void draw_pictures(const VisionTower& tower, Calibration& calibration) {
  const std::int64_t sequences = calibration.ids.size(0), length = calibration.ids.size(1);
  const double most = static_cast<double>(std::min(tower.longest, length / 2));
  const std::int64_t side = std::min(static_cast<std::int64_t>(std::sqrt(most)),
                                     tower.positions.shape[1] / tower.pooling);
  if (side == 0) return;
  const std::int64_t rows = side * side, first = (length - rows) / 2;
  calibration.ids.narrow(1, first, rows).fill_(tower.token);
  if (first > 0) calibration.ids.select(1, first - 1).fill_(tower.begin);
  if (first + rows < length) calibration.ids.select(1, first + rows).fill_(tower.end);
  for (std::int64_t i = 0; i < sequences; ++i) {
    Picture picture{
        at::empty({rows * tower.pooling * tower.pooling, tower.patches.inputs}, at::kFloat),
        side * tower.pooling, side * tower.pooling};
    const std::int64_t count = picture.patches.numel();
    kernels::random_normal(calibration.seed, kernels::stream_of("pixels"), i * count, count, 0.5F,
                           picture.patches.data_ptr<float>());
    picture.patches += 0.5;
    calibration.pictures.push_back(std::move(picture));
  }
  calibration.kind = "random tokens and pixels";
}

void read_pictures(const std::filesystem::path& path, const VisionTower& tower,
                   const CheckpointOptions& options, LeftOverPictures left_over,
                   Calibration& calibration) {
  const std::int64_t places = calibration.ids.eq(tower.token).sum().item<std::int64_t>();
  std::vector<Picture> pictures;
  if (path.extension() == ".safetensors") {
    const Checkpoint file = Checkpoint::open(path, options);
    if (file.find("pixel_values_videos") != nullptr)
      throw UnsupportedError(
          fmt::format("{}: holds pixel_values_videos; deadray runs text and pictures: pixel_values",
                      path.string()));
    if (file.find("pixel_values") != nullptr) pictures = all_pictures(file, tower);
  }
  std::int64_t filled = 0;
  for (Picture& picture : pictures) {
    if (left_over == LeftOverPictures::allowed && filled == places) break;
    filled += picture_tokens(tower, picture);
    calibration.pictures.push_back(std::move(picture));
  }
  if (filled != places)
    throw MalformedError(
        fmt::format("{}: {} tokens are {}, the place of a picture's row, but the {} pictures in "
                    "pixel_values make {} rows",
                    path.string(), places, tower.token, calibration.pictures.size(), filled));
}

}  // namespace deadray
