#include "verify/calibration/calibration.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace deadray {
namespace {

TEST(CalibrationTest, CountsTokensOfTextAndOfPixels) {
  Calibration text, pixels;
  text.ids = at::zeros({3, 5}, at::kLong);
  EXPECT_EQ(text.sequences(), 3);
  EXPECT_EQ(text.length(), 5);
  EXPECT_EQ(text.tokens(), 15);
  pixels.pixels = at::zeros({2, 3, 8, 8});
  pixels.pixels_length = 4;
  EXPECT_EQ(pixels.sequences(), 2);
  EXPECT_EQ(pixels.length(), 4);
  EXPECT_EQ(pixels.tokens(), 8);
}

TEST(CalibrationTest, CountsWhatIsNeitherHiddenNorSkipped) {
  Calibration calibration;
  calibration.ids = at::zeros({3, 4}, at::kLong);
  EXPECT_FALSE(calibration.counted().defined());
  EXPECT_EQ(calibration.rows(), 12);
  calibration.skip = 1;
  EXPECT_EQ(calibration.rows(), 9);
  EXPECT_EQ(calibration.skipped(), 3);
  // Padded on the left, on the right, wholly: the first token that the mask keeps is skipped.
  calibration.attended =
      at::tensor({0, 0, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0}, at::kLong).view({3, 4}).to(at::kBool);
  EXPECT_TRUE(calibration.counted().equal(
      at::tensor({0, 0, 0, 1, 0, 1, 1, 0, 0, 0, 0, 0}, at::kLong).view({3, 4}).to(at::kBool)));
  EXPECT_EQ(calibration.rows(), 3);
  EXPECT_EQ(calibration.rows(1), 1);
  EXPECT_EQ(calibration.masked(), 7);
  EXPECT_EQ(calibration.skipped(), 2);
}

TEST(CalibrationTest, NotesOnlyWhatIsMissing) {
  Calibration calibration;
  calibration.note_if_fewer("a.npy", 2, 0, "sequences");
  calibration.note_if_fewer("a.npy", 2, 2, "sequences");
  EXPECT_TRUE(calibration.notes.empty());
  calibration.note_if_fewer("a.npy", 2, 3, "sequences");
  EXPECT_EQ(calibration.notes,
            std::vector<std::string>{"a.npy: holds 2 sequences, fewer than the 3 asked for"});
}

}  // namespace
}  // namespace deadray
