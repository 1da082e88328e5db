#include "verify/calibration/stored_tokens.h"

#include <map>

#include "tests/support/errors.h"
#include "tests/support/token_file.h"
#include "tests/verify/calibration/calibration_files.h"

namespace deadray::test {
namespace {

class StoredTokensTest : public CalibrationFiles {
 protected:
  /// Two sequences of three tokens, and what stands beside them.
  std::filesystem::path file(std::map<std::string, Rows> beside) const {
    beside["input_ids"] = {{0, 1, 2}, {3, 4, 10}};
    const auto path = folder_.path() / "tokens.safetensors";
    write_token_file(path, beside);
    return path;
  }
  std::string refusal(ExitCode code, std::map<std::string, Rows> beside,
                      const TokenFileOptions& options = {},
                      const Architecture& architecture = text_model()) const {
    const auto path = file(std::move(beside));
    return message_of(code, [&] { read_tokens(path, architecture, options); });
  }
};

Architecture model_with_alibi() {
  Architecture architecture = text_model();
  architecture.family = "bloom";
  architecture.block_kinds.emplace_back().attention.alibi.emplace();
  return architecture;
}

TEST_F(StoredTokensTest, KeepsTheMaskWhereItHidesSomething) {
  const Calibration padded =
      read_tokens(file({{"attention_mask", {{1, 1, 0}, {0, 1, 1}}}}), text_model());
  EXPECT_TRUE(
      padded.attended.equal(at::tensor({1, 1, 0, 0, 1, 1}, at::kLong).view({2, 3}).to(at::kBool)));
  EXPECT_FALSE(read_tokens(file({{"attention_mask", {{1, 1, 1}, {1, 1, 1}}}}), text_model())
                   .attended.defined());
}

TEST_F(StoredTokensTest, CutsTheMaskAndThePositionsAsTheTokens) {
  const auto path =
      file({{"attention_mask", {{1, 0, 1}, {1, 1, 1}}}, {"position_ids", {{5, 6, 7}, {1, 2, 3}}}});
  const Calibration cut = read_tokens(path, text_model(), {1, 2});
  EXPECT_TRUE(cut.attended.equal(at::tensor({1, 0}, at::kLong).view({1, 2}).to(at::kBool)));
  EXPECT_TRUE(cut.position_ids.equal(at::tensor({5, 6}, at::kLong).view({1, 2})));
  EXPECT_FALSE(read_tokens(path, text_model(), {0, 1}).attended.defined()) << "nothing is hidden";
}

TEST_F(StoredTokensTest, NamesThePlaceOfAValueThatIsNoMasks) {
  EXPECT_TRUE(contains(refusal(ExitCode::malformed, {{"attention_mask", {{1, 1, 1}, {1, 2, 1}}}}),
                       "tensor 'attention_mask' is 2 at row 1, column 1, expected 0 or 1"));
}

TEST_F(StoredTokensTest, RefusesWhatIsNotOfTheTokensShape) {
  EXPECT_TRUE(contains(refusal(ExitCode::malformed, {{"attention_mask", {{1, 1, 1}}}}),
                       "'attention_mask' is [1, 3], but input_ids is [2, 3]"));
  EXPECT_TRUE(contains(refusal(ExitCode::malformed, {{"position_ids", {{0, 1}}}}),
                       "'position_ids' is [1, 2], but input_ids is [2, 3]"));
  EXPECT_TRUE(
      read_tokens(file({{"position_ids", {{2, 1, 0}}}}), text_model()).position_ids.defined())
      << "one row for all";
}

TEST_F(StoredTokensTest, RefusesAMaskThatHidesEveryToken) {
  EXPECT_TRUE(contains(refusal(ExitCode::malformed, {{"attention_mask", {{0, 0, 0}, {0, 0, 0}}}}),
                       "attention_mask hides every token"));
  EXPECT_TRUE(contains(
      refusal(ExitCode::malformed, {{"attention_mask", {{0, 0, 1}, {0, 1, 1}}}}, {0, 1}), "hides"))
      << "cut to the padding";
}

// transformers embeds hidden tokens too.
TEST_F(StoredTokensTest, ChecksHiddenTokensAgainstTheVocabulary) {
  Architecture small = text_model();
  small.vocab_size = 10;
  EXPECT_TRUE(contains(
      refusal(ExitCode::malformed, {{"attention_mask", {{1, 1, 1}, {1, 1, 0}}}}, {}, small),
      "token 10 at row 1, column 2 is outside the vocabulary"));
}

TEST_F(StoredTokensTest, ChecksPositionsAgainstTheModel) {
  Architecture learned = text_model();
  learned.tokens.emplace().positions = TensorSpec{"wpe", {16, 8}, {}};
  EXPECT_TRUE(contains(refusal(ExitCode::malformed, {{"position_ids", {{0, 16, 2}}}}, {}, learned),
                       "position 16 at row 0, column 1 of position_ids is outside the model's, 0 "
                       "to 15 (1 such positions)"));
  EXPECT_TRUE(contains(refusal(ExitCode::malformed, {{"position_ids", {{0, -1, 2}}}}),
                       "position -1 at row 0, column 1"))
      << "rotary";
  learned.tokens->position_offset = 2;  // whose table has two rows before the first
  EXPECT_NO_THROW(read_tokens(file({{"position_ids", {{-2, -1, 0}}}}), learned));
}

TEST_F(StoredTokensTest, RefusesPositionsThatAFamilyCountsItself) {
  EXPECT_TRUE(contains(
      refusal(ExitCode::unsupported, {{"position_ids", {{0, 1, 2}}}}, {}, model_with_alibi()),
      "holds position_ids, but bloom has no positions that they could give"));
}

}  // namespace
}  // namespace deadray::test
