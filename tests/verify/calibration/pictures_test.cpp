#include "verify/calibration/pictures.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/verify/calibration/calibration_files.h"

namespace deadray::test {
namespace {

class PicturesTest : public CalibrationFiles {};

TEST_F(PicturesTest, RandomPicturesFillTheirPlacesAndDependOnTheSeedAlone) {
  const Calibration first = random_tokens(model_with_tower(), 1, 3, 11),
                    again = random_tokens(model_with_tower(), 1, 3, 11),
                    other = random_tokens(model_with_tower(), 2, 3, 11);
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
  EXPECT_TRUE(random_tokens(model_with_tower(), 1, 3, 1).pictures.empty()) << "no room";
  EXPECT_EQ(random_tokens(model_with_tower(), 1, 1, 100).pictures[0].rows, 6)
      << "the model has positions for no more";
}

TEST_F(PicturesTest, ReadsPicturesWithoutTheirPadding) {
  const auto file =
      write_pictures({1, 7, 7, 2, 3, 4, 7, 5}, 2, joined(grid(4, 2, 8), grid(2, 2, 8)), 2);
  const Calibration read = read_tokens(file, model_with_tower());
  ASSERT_EQ(read.pictures.size(), 2u);
  EXPECT_EQ(read.pictures[0].columns, 4);
  EXPECT_EQ(read.pictures[0].rows, 2);
  EXPECT_EQ(read.pictures[1].patches.size(0), 4);
  EXPECT_EQ(read_tokens(file, model_with_tower(), {1, 0}).pictures.size(), 1u)
      << "the first sequence has one";
  EXPECT_EQ(read_tokens(file, model_with_tower(), {0, 3}).pictures.size(), 2u);
  EXPECT_NE(complaint(file, model_with_tower(), {0, 2})
                .find("sequences of 2 tokens cut places of pictures off"),
            std::string::npos);
}

TEST_F(PicturesTest, RefusesPicturesThatDoNotFillTheirPlaces) {
  const auto complaint_of = [&](const std::filesystem::path& file) {
    return complaint(file, model_with_tower());
  };
  EXPECT_NE(complaint_of(write_ids({1, 7, 7, 2}, 1))
                .find("2 tokens are 7, the place of a picture's row, but the 0 pictures"),
            std::string::npos);
  EXPECT_NE(complaint_of(write_pictures({1, 7, 7, 2}, 1, grid(2, 2, 4), 1))
                .find("the 1 pictures in pixel_values make 1 rows"),
            std::string::npos);
  EXPECT_NE(complaint_of(write_pictures({1, 7, 2, 2}, 1, joined(grid(2, 2, 4), grid(2, 2, 4)), 2))
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
