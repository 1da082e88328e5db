#include "verify/calibration/calibration.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>

#include "host/base/error.h"
#include "host/formats/safetensors_writer.h"
#include "tests/support/temporary_folder.h"
#include "verify/calibration/pixels.h"

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

/// Token 7 is the place of pictures, 8 and 9 stand around them, 6 is the place of a video; 2 x 2
/// patches of 2 x 2 pixels make a row.
Architecture with_tower() {
  Architecture architecture = small();
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
std::vector<std::int64_t> grid(std::int64_t columns, std::int64_t rows, std::int64_t length) {
  std::vector<std::int64_t> places;
  for (std::int64_t y = 0; y < rows; ++y)
    for (std::int64_t x = 0; x < columns; ++x) places.insert(places.end(), {x, y});
  places.resize(static_cast<std::size_t>(2 * length), -1);
  return places;
}

std::vector<std::int64_t> operator+(std::vector<std::int64_t> first,
                                    const std::vector<std::int64_t>& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

class CalibrationTest : public testing::Test {
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

  /// A file of tokens and of pictures whose patches stand at `places` (x, y of each), every pixel
  /// 0.
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

  /// The one line that a file gets; "" when it is accepted.
  static std::string complaint(const std::filesystem::path& file,
                               const Architecture& architecture = small(),
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

TEST_F(CalibrationTest, ReadsIdsAndCutsThemOnRequest) {
  const auto file = write_ids({0, 1, 2, 3, 4, 10}, 2);
  EXPECT_TRUE(read_tokens(file, small())
                  .ids.equal(at::tensor({0, 1, 2, 3, 4, 10}, at::kLong).view({2, 3})));
  EXPECT_TRUE(
      read_tokens(file, small(), {1, 2}).ids.equal(at::tensor({0, 1}, at::kLong).view({1, 2})));
}

TEST_F(CalibrationTest, NotesThatAFileHoldsFewerThanWereAskedFor) {
  const auto tokens = write_ids({0, 1, 2, 3, 4, 10}, 2), clip_file = write_pixels({3, 3, 8, 8});
  EXPECT_TRUE(read_tokens(tokens, small(), {2, 3}).notes.empty());
  EXPECT_TRUE(read_tokens(tokens, small(), {1, 2}).notes.empty()) << "cut, as asked";
  const auto notes = read_tokens(tokens, small(), {100, 8}).notes;
  ASSERT_EQ(notes.size(), 2U);
  EXPECT_NE(notes[0].find("holds 2 sequences, fewer than the 100 asked for"), std::string::npos)
      << notes[0];
  EXPECT_NE(notes[1].find("holds 3 tokens a sequence, fewer than the 8 asked for"),
            std::string::npos)
      << notes[1];
  EXPECT_NE(read_tokens(clip_file, pictures(), {4, 0})
                .notes.at(0)
                .find("holds 3 pictures, fewer than the 4 asked for"),
            std::string::npos);
}

// --max-header and --strict hold for the files that a model is run on too.
TEST_F(CalibrationTest, ReadsFilesAsTheUserAskedFor) {
  TokenFileOptions small_header, strict;
  small_header.checkpoint.max_header_bytes = 10;
  strict.checkpoint.strict = true;
  const auto expect_both = [&](const std::filesystem::path& file,
                               const Architecture& architecture) {
    EXPECT_NE(complaint(file, architecture, small_header).find("--max-header"), std::string::npos)
        << file;
    EXPECT_EQ(complaint(file, architecture, strict), "") << file;
    std::ofstream(file, std::ios::app | std::ios::binary) << "more";
    EXPECT_NE(complaint(file, architecture, strict).find("4 bytes"), std::string::npos) << file;
    EXPECT_EQ(read_tokens(file, architecture).notes.size(), 1U) << file;
  };
  expect_both(write_ids({0, 1, 2, 3, 4, 10}, 2), small());
  expect_both(write_pixels({1, 3, 8, 8}), pictures());
  expect_both(write_pictures({8, 7, 9, 1}, 1, grid(2, 2, 4), 1), with_tower());
}

TEST_F(CalibrationTest, NamesThePlaceOfATokenOutsideTheVocabulary) {
  EXPECT_NE(complaint(write_ids({0, 1, 2, 3, 11, 5}, 2))
                .find("token 11 at row 1, column 1 is outside the vocabulary of 11"),
            std::string::npos);
  EXPECT_NE(complaint(write_ids({0, -3}, 1)).find("token -3 at row 0, column 1"),
            std::string::npos);
}

TEST_F(CalibrationTest, RefusesWhatIsNoTokenFile) {
  EXPECT_NE(complaint(write_ids({}, 0)).find("no tokens"), std::string::npos);
  EXPECT_NE(complaint(write_ids({1, 2}, 1, "ids")).find("input_ids"), std::string::npos);
  EXPECT_NE(complaint(write_ids(std::vector<std::int64_t>(17, 1), 1)).find("takes 16 at most"),
            std::string::npos);
  EXPECT_NE(complaint(folder_.path() / "tokens.csv").find(".npy"), std::string::npos);
}

TEST_F(CalibrationTest, RandomTokensCoverTheVocabularyAndDependOnTheSeedAlone) {
  const Calibration first = random_tokens(small(), 1, 64, 16),
                    again = random_tokens(small(), 1, 64, 16),
                    other = random_tokens(small(), 2, 64, 16);
  EXPECT_TRUE(first.ids.equal(again.ids));
  EXPECT_FALSE(first.ids.equal(other.ids));
  EXPECT_EQ(first.ids.min().item<std::int64_t>(), 0);
  EXPECT_EQ(first.ids.max().item<std::int64_t>(), 10);
}

TEST_F(CalibrationTest, ReadsPicturesOfEverySizeAndFloatType) {
  const Calibration wide =
      read_tokens(write_pixels({3, 3, 4, 12}, "pixel_values", 0.5F, DType::f64), pictures());
  EXPECT_EQ(wide.pixels.scalar_type(), at::kFloat);
  EXPECT_TRUE(wide.pixels.equal(at::full({3, 3, 4, 12}, 0.5F)));
  EXPECT_EQ(wide.length(), 1 + 1 * 3);
  EXPECT_EQ(wide.tokens(), 3 * 4);
  EXPECT_EQ(read_tokens(write_pixels({3, 3, 8, 8}), pictures(), {2, 0}).sequences(), 2);
  const Calibration film =
      read_tokens(write_pixels({2, 6, 3, 8, 4}, "pixel_values_videos"), clips());
  EXPECT_EQ(film.length(), 3 * 2 * 1);
}

TEST_F(CalibrationTest, TakesTheModelsOwnSizeThoughARemainderFillsNoPatch) {
  Architecture model = pictures();
  model.patches->height = model.patches->width = 10;
  EXPECT_EQ(read_tokens(write_pixels({1, 3, 10, 10}), model).length(), 1 + 4);
  EXPECT_NE(complaint(write_pixels({1, 3, 10, 8}), model).find("10 by 8 pixels"),
            std::string::npos);
}

TEST_F(CalibrationTest, RefusesPixelsThatTheModelCannotRead) {
  const auto expect = [&](const std::filesystem::path& file, const Architecture& model,
                          const char* named) {
    EXPECT_NE(complaint(file, model).find(named), std::string::npos) << complaint(file, model);
  };
  expect(write_pixels({1, 8, 8}), pictures(),
         "'pixel_values' has shape [1, 8, 8], expected [pictures, 3, height, width]");
  expect(write_pixels({1, 1, 8, 8}), pictures(),
         "'pixel_values' has shape [1, 1, 8, 8], expected [pictures, 3, height, width]");
  expect(write_pixels({0, 3, 8, 8}), pictures(), "holds no pixels");
  expect(write_pixels({1, 3, 8, 9}), pictures(),
         "8 by 9 pixels, expected multiples of the patch, 4");
  expect(write_pixels({1, 3, 8, 8}, "pixel_values", 0.0F, DType::i32), pictures(),
         "is I32, expected a float type");
  expect(write_pixels({1, 3, 8, 8}, "pixel_values", std::numeric_limits<float>::quiet_NaN()),
         pictures(), "is not finite at [0, 0, 0, 0] (192");
  expect(write_pixels({1, 3, 2, 8, 8}, "pixel_values_videos"), pictures(),
         "no tensor 'pixel_values'");
  expect(write_pixels({1, 3, 8, 8}), clips(), "no tensor 'pixel_values_videos'");
  expect(write_pixels({1, 3, 3, 8, 8}, "pixel_values_videos"), clips(),
         "clips of 3 frames, expected a multiple of the tubelet, 2");
  expect(folder_.path() / "tokens.npy", pictures(), "the model reads pixels");
  expect(write_ids({1, 2}, 1), pictures(),
         "no tensor 'pixel_values': the model reads pixels, [pictures, 3, height, width]; found "
         "'input_ids'");
  expect(write_pixels({1, 3, 8, 8}), small(), "holds pixel_values, but the model reads tokens");
}

TEST_F(CalibrationTest, RandomPixelsAreNormalAndDependOnTheSeedAlone) {
  const PatchInput input = *pictures().patches;
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

TEST_F(CalibrationTest, RandomTokensLeaveOutWhatStandsForNoText) {
  Architecture architecture = with_tower();
  architecture.vision.reset();
  const Calibration drawn = random_tokens(architecture, 1, 64, 16);
  EXPECT_TRUE(drawn.pictures.empty());
  EXPECT_EQ(drawn.kind, "random");
  for (const std::int64_t id : {6, 7, 8, 9})
    EXPECT_FALSE(drawn.ids.eq(id).any().item<bool>()) << id;
  for (const std::int64_t id : {0, 1, 2, 3, 4, 5, 10})
    EXPECT_TRUE(drawn.ids.eq(id).any().item<bool>()) << id;
}

TEST_F(CalibrationTest, RandomPicturesFillTheirPlacesAndDependOnTheSeedAlone) {
  const Calibration first = random_tokens(with_tower(), 1, 3, 11),
                    again = random_tokens(with_tower(), 1, 3, 11),
                    other = random_tokens(with_tower(), 2, 3, 11);
  ASSERT_EQ(first.pictures.size(), 3u);
  EXPECT_EQ(first.kind, "random tokens and pixels");
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(first.pictures[i].rows, 4);
    EXPECT_EQ(first.pictures[i].columns, 4);
    EXPECT_EQ(first.pictures[i].patches.sizes(), (at::IntArrayRef{16, 12}));
    EXPECT_TRUE(first.pictures[i].patches.equal(again.pictures[i].patches));
    EXPECT_FALSE(first.pictures[i].patches.equal(other.pictures[i].patches));
  }
  EXPECT_FALSE(first.pictures[0].patches.equal(first.pictures[1].patches));
  // In the middle, between the tokens of beginning and end; 2 x 2 rows are the largest square in
  // half of 11.
  const at::Tensor picture = at::tensor({8, 7, 7, 7, 7, 9}, at::kLong);
  EXPECT_TRUE(first.ids[0].narrow(0, 2, 6).equal(picture));
  EXPECT_EQ(first.ids.eq(7).sum().item<std::int64_t>(), 3 * 4);
  EXPECT_TRUE(random_tokens(with_tower(), 1, 3, 1).pictures.empty()) << "no room";
  EXPECT_EQ(random_tokens(with_tower(), 1, 1, 100).pictures[0].rows, 6)
      << "the model has positions for no more";
}

TEST_F(CalibrationTest, ReadsPicturesWithoutTheirPadding) {
  const auto file = write_pictures({1, 7, 7, 2, 3, 4, 7, 5}, 2, grid(4, 2, 8) + grid(2, 2, 8), 2);
  const Calibration read = read_tokens(file, with_tower());
  ASSERT_EQ(read.pictures.size(), 2u);
  EXPECT_EQ(read.pictures[0].columns, 4);
  EXPECT_EQ(read.pictures[0].rows, 2);
  EXPECT_EQ(read.pictures[1].patches.size(0), 4);
  EXPECT_EQ(read_tokens(file, with_tower(), {1, 0}).pictures.size(), 1u)
      << "the first sequence has one";
  EXPECT_EQ(read_tokens(file, with_tower(), {0, 3}).pictures.size(), 2u);
  EXPECT_NE(complaint(file, with_tower(), {0, 2})
                .find("sequences of 2 tokens cut places of pictures off"),
            std::string::npos);
}

TEST_F(CalibrationTest, RefusesPicturesThatDoNotFillTheirPlaces) {
  const auto complaint_of = [&](const std::filesystem::path& file) {
    return complaint(file, with_tower());
  };
  EXPECT_NE(complaint_of(write_ids({1, 7, 7, 2}, 1))
                .find("2 tokens are 7, the place of a picture's row, but the 0 pictures"),
            std::string::npos);
  EXPECT_NE(complaint_of(write_pictures({1, 7, 7, 2}, 1, grid(2, 2, 4), 1))
                .find("the 1 pictures in pixel_values make 1 rows"),
            std::string::npos);
  EXPECT_NE(complaint_of(write_pictures({1, 7, 2, 2}, 1, grid(2, 2, 4) + grid(2, 2, 4), 2))
                .find("the 2 pictures"),
            std::string::npos);
  EXPECT_NE(complaint_of(write_pictures({1, 7}, 1, grid(3, 2, 6), 1))
                .find("picture 0: its 6 patches, up to column 2 and row 1, are no grid"),
            std::string::npos);
  EXPECT_NE(complaint_of(write_pictures({1, 7}, 1, {0, 0, 0, 1, 1, 0, 1, 1}, 1))
                .find("are no grid, row by row"),
            std::string::npos)
      << "column by column";
  EXPECT_NE(complaint_of(write_pictures({1, 7}, 1, grid(0, 0, 4), 1)).find("its 0 patches"),
            std::string::npos);
  EXPECT_NE(complaint_of(write_pictures({1, 7, 7, 7, 7}, 1, grid(8, 2, 16), 1))
                .find("2 by 8 patches, but the model has positions for 6"),
            std::string::npos);
  EXPECT_NE(complaint_of(write_pictures({1, 7}, 1, grid(2, 2, 4), 1, 27))
                .find("pixel_values has shape [1, 4, 27]"),
            std::string::npos);
  EXPECT_NE(complaint_of(write_pictures({1, 7}, 1, grid(2, 2, 4), 1, 12, std::nanf("")))
                .find("pixel_values is not finite"),
            std::string::npos);
  EXPECT_NE(complaint_of(write_ids({1, 6}, 1)).find("token 6 at row 0, column 1 is video_token_id"),
            std::string::npos);
  EXPECT_NE(complaint(write_pictures({1, 1}, 1, grid(2, 2, 4), 1)).find("reads text alone"),
            std::string::npos)
      << "a model without a tower";
}

}  // namespace
}  // namespace deadray::test
