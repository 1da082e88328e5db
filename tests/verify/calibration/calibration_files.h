#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "host/base/error.h"
#include "host/formats/safetensors_writer.h"
#include "tests/support/temporary_folder.h"
#include "verify/calibration/tokens.h"

// Models of every kind of input, and files for them.
namespace deadray::test {

inline Architecture text_model() {
  Architecture architecture;
  architecture.family = "gpt2";
  architecture.vocab_size = 11;
  architecture.max_positions = 16;
  return architecture;
}

/// Pictures of 8 by 8 pixels in patches of 4, behind a class token.
inline Architecture picture_model() {
  Architecture architecture;
  architecture.family = "vit";
  PatchInput& input = architecture.patches.emplace();
  input.height = input.width = 8;
  input.patch = 4;
  input.class_token = TensorSpec{"cls", {1, 1, 6}, {}};
  return architecture;
}

/// Clips of 4 frames in tubelets of 2.
inline Architecture clip_model() {
  Architecture architecture = picture_model();
  architecture.patches->class_token.reset();
  architecture.patches->frames = 4;
  architecture.patches->tubelet = 2;
  return architecture;
}

/// Token 7 is the place of pictures, 8 and 9 stand around them, 6 is the place of a video; 2 x 2
/// patches of 2 x 2 pixels make a row.
inline Architecture model_with_tower() {
  Architecture architecture = text_model();
  architecture.max_positions = 0;
  architecture.special_tokens = {{"video_token_id", 6, true},
                                 {"image_token_id", 7, false},
                                 {"boi_token_id", 8, false},
                                 {"eoi_token_id", 9, false},
                                 {"audio_token_id", 99, true}};
  VisionTower& tower = architecture.vision.emplace();
  tower.patches.inputs = 12;
  tower.positions.shape = {2, 6, 4};
  tower.pooling = 2;
  tower.token = 7, tower.begin = 8, tower.end = 9;
  tower.longest = 280;
  return architecture;
}

/// Column and row of each patch of a picture, then -1 up to `length` patches.
inline std::vector<std::int64_t> grid(std::int64_t columns, std::int64_t rows,
                                      std::int64_t length) {
  std::vector<std::int64_t> places(static_cast<std::size_t>(2 * length), -1);
  auto next = places.begin();
  for (std::int64_t y = 0; y < rows; ++y)
    for (std::int64_t x = 0; x < columns; ++x) {
      *next++ = x;
      *next++ = y;
    }
  return places;
}

inline std::vector<std::int64_t> joined(std::vector<std::int64_t> first,
                                        const std::vector<std::int64_t>& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

class CalibrationFiles : public testing::Test {
 protected:
  std::filesystem::path write_ids(const std::vector<std::int64_t>& ids, std::int64_t rows,
                                  const std::string& name = "input_ids") {
    const auto file = folder_.path() / "tokens.safetensors";
    SafetensorsWriter writer(
        file, {{name,
                DType::i64,
                {rows, static_cast<std::int64_t>(ids.size()) / std::max<std::int64_t>(rows, 1)}}});
    writer.append(std::as_bytes(std::span(ids)));
    writer.finish();
    return file;
  }

  std::filesystem::path write_pixels(const std::vector<std::int64_t>& shape,
                                     const std::string& name = "pixel_values", float value = 0.5F,
                                     DType dtype = DType::f32) {
    const auto file = folder_.path() / "pixels.safetensors";
    const at::Tensor pixels = at::full(shape, value,
                                       dtype == DType::f64   ? at::kDouble
                                       : dtype == DType::i32 ? at::kInt
                                                             : at::kFloat);
    SafetensorsWriter writer(file, {{name, dtype, shape}});
    writer.append(
        std::span(static_cast<const std::byte*>(pixels.const_data_ptr()), pixels.nbytes()));
    writer.finish();
    return file;
  }

  /// A file of tokens and of pictures whose patches stand at `places` (x, y of each).
  /// @param pixels  of each patch   @param pixel  the value of all
  std::filesystem::path write_pictures(std::vector<std::int64_t> ids, std::int64_t rows,
                                       const std::vector<std::int64_t>& places,
                                       std::int64_t n_pictures, std::int64_t pixels = 12,
                                       float pixel = 0.0F) {
    const auto file = folder_.path() / "pictures.safetensors";
    const auto patches = static_cast<std::int64_t>(places.size()) / 2 / n_pictures;
    const std::vector<float> values(static_cast<std::size_t>(n_pictures * patches * pixels), pixel);
    SafetensorsWriter writer(
        file, {{"image_position_ids", DType::i64, {n_pictures, patches, 2}},
               {"input_ids", DType::i64, {rows, static_cast<std::int64_t>(ids.size()) / rows}},
               {"pixel_values", DType::f32, {n_pictures, patches, pixels}}});
    writer.append(std::as_bytes(std::span(places)));
    writer.append(std::as_bytes(std::span(ids)));
    writer.append(std::as_bytes(std::span(values)));
    writer.finish();
    return file;
  }

  /// The message that a file gets; empty when it is accepted.
  static std::string complaint(const std::filesystem::path& file,
                               const Architecture& architecture = text_model(),
                               const TokenFileOptions& options = {}) {
    try {
      read_tokens(file, architecture, options);
    } catch (const Error& error) {
      return error.what();
    }
    return {};
  }

  TemporaryFolder folder_;
};

}  // namespace deadray::test
