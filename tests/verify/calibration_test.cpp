#include "verify/calibration.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>

#include "host/error.h"
#include "host/safetensors_writer.h"
#include "tests/support/temporary_folder.h"
#include "verify/pixels.h"

namespace deadray::test {
namespace {

Architecture small() {
  Architecture architecture;
  architecture.family = "gpt2";
  architecture.vocab_size = 11;
  architecture.max_positions = 16;
  return architecture;
}

/// Pictures of 8 by 8 pixels in patches of 4, behind a class token.
Architecture pictures() {
  Architecture architecture;
  architecture.family = "vit";
  PatchInput& input = architecture.patches.emplace();
  input.height = input.width = 8;
  input.patch = 4;
  input.class_token = TensorSpec{"cls", {1, 1, 6}, {}};
  return architecture;
}

/// Clips of 4 frames in tubelets of 2.
Architecture clips() {
  Architecture architecture = pictures();
  architecture.patches->class_token.reset();
  architecture.patches->frames = 4;
  architecture.patches->tubelet = 2;
  return architecture;
}

class CalibrationTest : public testing::Test {
 protected:
  std::filesystem::path write_ids(const std::vector<std::int64_t>& ids, std::int64_t rows, const std::string& name = "input_ids") {
    const auto file = folder_.path() / "tokens.safetensors";
    SafetensorsWriter writer(file, {{name, DType::i64, {rows, static_cast<std::int64_t>(ids.size()) / std::max<std::int64_t>(rows, 1)}}});
    writer.append(std::as_bytes(std::span(ids)));
    writer.finish();
    return file;
  }

  std::filesystem::path write_pixels(const std::vector<std::int64_t>& shape, const std::string& name = "pixel_values", float value = 0.5F,
                                     DType dtype = DType::f32) {
    const auto file = folder_.path() / "pixels.safetensors";
    const at::Tensor pixels = at::full(shape, value, dtype == DType::f64 ? at::kDouble : dtype == DType::i32 ? at::kInt : at::kFloat);
    SafetensorsWriter writer(file, {{name, dtype, shape}});
    writer.append(std::span(static_cast<const std::byte*>(pixels.const_data_ptr()), pixels.nbytes()));
    writer.finish();
    return file;
  }

  /// The one line that a file gets; "" when it is accepted.
  static std::string complaint(const std::filesystem::path& file, const Architecture& architecture = small()) {
    try {
      read_tokens(file, architecture);
    } catch (const Error& error) {
      return error.what();
    }
    return {};
  }

  TemporaryFolder folder_;
};

TEST_F(CalibrationTest, ReadsIdsAndCutsThemOnRequest) {
  const auto file = write_ids({0, 1, 2, 3, 4, 10}, 2);
  EXPECT_TRUE(read_tokens(file, small()).ids.equal(at::tensor({0, 1, 2, 3, 4, 10}, at::kLong).view({2, 3})));
  EXPECT_TRUE(read_tokens(file, small(), {1, 2}).ids.equal(at::tensor({0, 1}, at::kLong).view({1, 2})));
}

TEST_F(CalibrationTest, NamesThePlaceOfATokenOutsideTheVocabulary) {
  EXPECT_NE(complaint(write_ids({0, 1, 2, 3, 11, 5}, 2)).find("token 11 at row 1, column 1 is outside the vocabulary of 11"),
            std::string::npos);
  EXPECT_NE(complaint(write_ids({0, -3}, 1)).find("token -3 at row 0, column 1"), std::string::npos);
}

TEST_F(CalibrationTest, RefusesWhatIsNoTokenFile) {
  EXPECT_NE(complaint(write_ids({}, 0)).find("no tokens"), std::string::npos);
  EXPECT_NE(complaint(write_ids({1, 2}, 1, "ids")).find("input_ids"), std::string::npos);
  EXPECT_NE(complaint(write_ids(std::vector<std::int64_t>(17, 1), 1)).find("takes 16 at most"), std::string::npos);
  EXPECT_NE(complaint(folder_.path() / "tokens.csv").find(".npy"), std::string::npos);
}

TEST_F(CalibrationTest, RandomTokensCoverTheVocabularyAndDependOnTheSeedAlone) {
  const Calibration first = random_tokens(small(), 1, 64, 16), again = random_tokens(small(), 1, 64, 16),
                    other = random_tokens(small(), 2, 64, 16);
  EXPECT_TRUE(first.ids.equal(again.ids));
  EXPECT_FALSE(first.ids.equal(other.ids));
  EXPECT_EQ(first.ids.min().item<std::int64_t>(), 0);
  EXPECT_EQ(first.ids.max().item<std::int64_t>(), 10);
}

TEST_F(CalibrationTest, ReadsPicturesOfEverySizeAndFloatType) {
  const Calibration wide = read_tokens(write_pixels({3, 3, 4, 12}, "pixel_values", 0.5F, DType::f64), pictures());
  EXPECT_EQ(wide.pixels.scalar_type(), at::kFloat);
  EXPECT_TRUE(wide.pixels.equal(at::full({3, 3, 4, 12}, 0.5F)));
  EXPECT_EQ(wide.length(), 1 + 1 * 3);
  EXPECT_EQ(wide.tokens(), 3 * 4);
  EXPECT_EQ(read_tokens(write_pixels({3, 3, 8, 8}), pictures(), {2, 0}).sequences(), 2);
  const Calibration film = read_tokens(write_pixels({2, 6, 3, 8, 4}, "pixel_values_videos"), clips());
  EXPECT_EQ(film.length(), 3 * 2 * 1);
}

TEST_F(CalibrationTest, TakesTheModelsOwnSizeThoughARemainderFillsNoPatch) {
  Architecture model = pictures();
  model.patches->height = model.patches->width = 10;
  EXPECT_EQ(read_tokens(write_pixels({1, 3, 10, 10}), model).length(), 1 + 4);
  EXPECT_NE(complaint(write_pixels({1, 3, 10, 8}), model).find("10 by 8 pixels"), std::string::npos);
}

TEST_F(CalibrationTest, RefusesPixelsThatTheModelCannotRead) {
  const auto expect = [&](const std::filesystem::path& file, const Architecture& model, const char* named) {
    EXPECT_NE(complaint(file, model).find(named), std::string::npos) << complaint(file, model);
  };
  expect(write_pixels({1, 8, 8}), pictures(), "'pixel_values' has shape [1, 8, 8], expected [pictures, 3, height, width]");
  expect(write_pixels({1, 1, 8, 8}), pictures(), "'pixel_values' has shape [1, 1, 8, 8], expected [pictures, 3, height, width]");
  expect(write_pixels({0, 3, 8, 8}), pictures(), "holds no pixels");
  expect(write_pixels({1, 3, 8, 9}), pictures(), "8 by 9 pixels, expected multiples of the patch, 4");
  expect(write_pixels({1, 3, 8, 8}, "pixel_values", 0.0F, DType::i32), pictures(), "is I32, expected a float type");
  expect(write_pixels({1, 3, 8, 8}, "pixel_values", std::numeric_limits<float>::quiet_NaN()), pictures(),
         "is not finite at [0, 0, 0, 0] (192");
  expect(write_pixels({1, 3, 2, 8, 8}, "pixel_values_videos"), pictures(), "no tensor 'pixel_values'");
  expect(write_pixels({1, 3, 8, 8}), clips(), "no tensor 'pixel_values_videos'");
  expect(write_pixels({1, 3, 3, 8, 8}, "pixel_values_videos"), clips(), "clips of 3 frames, expected a multiple of the tubelet, 2");
  expect(folder_.path() / "tokens.npy", pictures(), "the model reads pixels");
  expect(write_ids({1, 2}, 1), pictures(),
         "no tensor 'pixel_values': the model reads pixels, [pictures, 3, height, width]; found 'input_ids'");
  expect(write_pixels({1, 3, 8, 8}), small(), "holds pixel_values, but the model reads tokens");
}

TEST_F(CalibrationTest, RandomPixelsAreNormalAndDependOnTheSeedAlone) {
  const PatchInput input = *pictures().patches;
  const Calibration first = random_pixels(input, 1, 500), again = random_pixels(input, 1, 500), other = random_pixels(input, 2, 500);
  EXPECT_EQ(first.pixels.sizes(), at::IntArrayRef({500, 3, 8, 8}));
  EXPECT_EQ(first.tokens(), 500 * tokens_of_each(input));
  EXPECT_TRUE(first.pixels.equal(again.pixels));
  EXPECT_FALSE(first.pixels.equal(other.pixels));
  EXPECT_TRUE(random_pixels(input, 1, 2).pixels.equal(first.pixels.narrow(0, 0, 2))) << "more pictures change none of the first";
  // 96000 draws: five standard errors of a mean and of a deviation.
  EXPECT_NEAR(first.pixels.mean().item<double>(), 0.0, 5 / std::sqrt(96000.0));
  EXPECT_NEAR(first.pixels.std().item<double>(), 1.0, 5 / std::sqrt(2 * 96000.0));
}

}  // namespace
}  // namespace deadray::test
