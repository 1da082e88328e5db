#include "verify/calibration/tokens.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/verify/calibration/calibration_files.h"

namespace deadray::test {
namespace {

class TokensTest : public CalibrationFiles {};

TEST_F(TokensTest, ReadsIdsAndCutsThemOnRequest) {
  const auto file = write_ids({0, 1, 2, 3, 4, 10}, 2);
  EXPECT_TRUE(read_tokens(file, text_model())
                  .ids.equal(at::tensor({0, 1, 2, 3, 4, 10}, at::kLong).view({2, 3})));
  EXPECT_TRUE(read_tokens(file, text_model(), {1, 2})
                  .ids.equal(at::tensor({0, 1}, at::kLong).view({1, 2})));
}

TEST_F(TokensTest, NotesThatAFileHoldsFewerThanWereAskedFor) {
  const auto tokens = write_ids({0, 1, 2, 3, 4, 10}, 2), clip_file = write_pixels({3, 3, 8, 8});
  EXPECT_TRUE(read_tokens(tokens, text_model(), {2, 3}).notes.empty());
  EXPECT_TRUE(read_tokens(tokens, text_model(), {1, 2}).notes.empty()) << "cut, as asked";
  const auto notes = read_tokens(tokens, text_model(), {100, 8}).notes;
  ASSERT_EQ(notes.size(), 2U);
  EXPECT_NE(notes[0].find("holds 2 sequences, fewer than the 100 asked for"), std::string::npos)
      << notes[0];
  EXPECT_NE(notes[1].find("holds 3 tokens a sequence, fewer than the 8 asked for"),
            std::string::npos)
      << notes[1];
  EXPECT_NE(read_tokens(clip_file, picture_model(), {4, 0})
                .notes.at(0)
                .find("holds 3 pictures, fewer than the 4 asked for"),
            std::string::npos);
}

// --max-header and --strict hold for the files that a model is run on too.
TEST_F(TokensTest, ReadsFilesAsTheUserAskedFor) {
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
  expect_both(write_ids({0, 1, 2, 3, 4, 10}, 2), text_model());
  expect_both(write_pixels({1, 3, 8, 8}), picture_model());
  expect_both(write_pictures({8, 7, 9, 1}, 1, grid(2, 2, 4), 1), model_with_tower());
}

TEST_F(TokensTest, NamesThePlaceOfATokenOutsideTheVocabulary) {
  EXPECT_NE(complaint(write_ids({0, 1, 2, 3, 11, 5}, 2))
                .find("token 11 at row 1, column 1 is outside the vocabulary of 11"),
            std::string::npos);
  EXPECT_NE(complaint(write_ids({0, -3}, 1)).find("token -3 at row 0, column 1"),
            std::string::npos);
}

TEST_F(TokensTest, RefusesWhatIsNoTokenFile) {
  EXPECT_NE(complaint(write_ids({}, 0)).find("no tokens"), std::string::npos);
  EXPECT_NE(complaint(write_ids({1, 2}, 1, "ids")).find("input_ids"), std::string::npos);
  EXPECT_NE(complaint(write_ids(std::vector<std::int64_t>(17, 1), 1)).find("takes 16 at most"),
            std::string::npos);
  EXPECT_NE(complaint(folder_.path() / "tokens.csv").find(".npy"), std::string::npos);
}

TEST_F(TokensTest, RandomTokensCoverTheVocabularyAndDependOnTheSeedAlone) {
  const Calibration first = random_tokens(text_model(), 1, 64, 16),
                    again = random_tokens(text_model(), 1, 64, 16),
                    other = random_tokens(text_model(), 2, 64, 16);
  EXPECT_TRUE(first.ids.equal(again.ids));
  EXPECT_FALSE(first.ids.equal(other.ids));
  EXPECT_EQ(first.ids.min().item<std::int64_t>(), 0);
  EXPECT_EQ(first.ids.max().item<std::int64_t>(), 10);
}

TEST_F(TokensTest, RandomTokensLeaveOutWhatStandsForNoText) {
  Architecture architecture = model_with_tower();
  architecture.vision.reset();
  const Calibration drawn = random_tokens(architecture, 1, 64, 16);
  EXPECT_TRUE(drawn.pictures.empty());
  EXPECT_EQ(drawn.kind, "random");
  for (const std::int64_t id : {6, 7, 8, 9})
    EXPECT_FALSE(drawn.ids.eq(id).any().item<bool>()) << id;
  for (const std::int64_t id : {0, 1, 2, 3, 4, 5, 10})
    EXPECT_TRUE(drawn.ids.eq(id).any().item<bool>()) << id;
}

}  // namespace
}  // namespace deadray::test
