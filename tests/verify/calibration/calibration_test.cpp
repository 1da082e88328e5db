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
