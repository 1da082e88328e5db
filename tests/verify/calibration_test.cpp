#include "verify/calibration.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "host/error.h"
#include "host/safetensors_writer.h"
#include "tests/support/temporary_folder.h"

namespace deadray::test {
namespace {

Architecture small() {
  Architecture architecture;
  architecture.family = "gpt2";
  architecture.vocab_size = 11;
  architecture.max_positions = 16;
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

  /// The one line that a file gets; "" when it is accepted.
  static std::string complaint(const std::filesystem::path& file) {
    try {
      read_tokens(file, small());
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

}  // namespace
}  // namespace deadray::test
