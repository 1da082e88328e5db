#include "verify/calibration/pixels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/verify/calibration/calibration_files.h"

namespace deadray::test {
namespace {

class PixelsTest : public CalibrationFiles {};

TEST_F(PixelsTest, ReadsPicturesOfEverySizeAndFloatType) {
  const Calibration wide =
      read_tokens(write_pixels({3, 3, 4, 12}, "pixel_values", 0.5F, DType::f64), picture_model());
  EXPECT_EQ(wide.pixels.scalar_type(), at::kFloat);
  EXPECT_TRUE(wide.pixels.equal(at::full({3, 3, 4, 12}, 0.5F)));
  EXPECT_EQ(wide.length(), 1 + 1 * 3);
  EXPECT_EQ(wide.tokens(), 3 * 4);
  EXPECT_EQ(read_tokens(write_pixels({3, 3, 8, 8}), picture_model(), {2, 0}).sequences(), 2);
  const Calibration film =
      read_tokens(write_pixels({2, 6, 3, 8, 4}, "pixel_values_videos"), clip_model());
  EXPECT_EQ(film.length(), 3 * 2 * 1);
}

TEST_F(PixelsTest, TakesTheModelsOwnSizeThoughARemainderFillsNoPatch) {
  Architecture model = picture_model();
  model.patches->height = model.patches->width = 10;
  EXPECT_EQ(read_tokens(write_pixels({1, 3, 10, 10}), model).length(), 1 + 4);
  EXPECT_NE(complaint(write_pixels({1, 3, 10, 8}), model).find("10 by 8 pixels"),
            std::string::npos);
}

TEST_F(PixelsTest, RefusesPixelsThatTheModelCannotRead) {
  const auto expect = [&](const std::filesystem::path& file, const Architecture& model,
                          const char* named) {
    EXPECT_NE(complaint(file, model).find(named), std::string::npos) << complaint(file, model);
  };
  expect(write_pixels({1, 8, 8}), picture_model(),
         "'pixel_values' has shape [1, 8, 8], expected [pictures, 3, height, width]");
  expect(write_pixels({1, 1, 8, 8}), picture_model(),
         "'pixel_values' has shape [1, 1, 8, 8], expected [pictures, 3, height, width]");
  expect(write_pixels({0, 3, 8, 8}), picture_model(), "holds no pixels");
  expect(write_pixels({1, 3, 8, 9}), picture_model(),
         "8 by 9 pixels, expected multiples of the patch, 4");
  expect(write_pixels({1, 3, 8, 8}, "pixel_values", 0.0F, DType::i32), picture_model(),
         "is I32, expected a float type");
  expect(write_pixels({1, 3, 8, 8}, "pixel_values", std::numeric_limits<float>::quiet_NaN()),
         picture_model(), "is not finite at [0, 0, 0, 0] (192");
  expect(write_pixels({1, 3, 2, 8, 8}, "pixel_values_videos"), picture_model(),
         "no tensor 'pixel_values'");
  expect(write_pixels({1, 3, 8, 8}), clip_model(), "no tensor 'pixel_values_videos'");
  expect(write_pixels({1, 3, 3, 8, 8}, "pixel_values_videos"), clip_model(),
         "clips of 3 frames, expected a multiple of the tubelet, 2");
  expect(folder_.path() / "tokens.npy", picture_model(), "the model reads pixels");
  expect(write_ids({1, 2}, 1), picture_model(),
         "no tensor 'pixel_values': the model reads pixels, [pictures, 3, height, width]; found "
         "'input_ids'");
  expect(write_pixels({1, 3, 8, 8}), text_model(),
         "holds pixel_values, but the model reads tokens");
}

TEST_F(PixelsTest, RandomPixelsAreNormalAndDependOnTheSeedAlone) {
  const PatchInput input = *picture_model().patches;
  const Calibration first = random_pixels(input, 1, 500), again = random_pixels(input, 1, 500),
                    other = random_pixels(input, 2, 500);
  EXPECT_EQ(first.pixels.sizes(), at::IntArrayRef({500, 3, 8, 8}));
  EXPECT_EQ(first.tokens(), 500 * tokens_of_each(input));
  EXPECT_TRUE(first.pixels.equal(again.pixels));
  EXPECT_FALSE(first.pixels.equal(other.pixels));
  EXPECT_TRUE(random_pixels(input, 1, 2).pixels.equal(first.pixels.narrow(0, 0, 2)))
      << "more pictures change none of the first";
  // 96000 draws: five standard errors of a mean and of a deviation.
  EXPECT_NEAR(first.pixels.mean().item<double>(), 0.0, 5 / std::sqrt(96000.0));
  EXPECT_NEAR(first.pixels.std().item<double>(), 1.0, 5 / std::sqrt(2 * 96000.0));
}

}  // namespace
}  // namespace deadray::test
