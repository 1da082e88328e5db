#include "verify/calibration/slice.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "tests/support/errors.h"

namespace deadray {
namespace {

constexpr std::int64_t kSequences = 7, kLength = 5;

Calibration padded_tokens() {
  Calibration whole;
  whole.ids = at::arange(kSequences * kLength, at::kLong).view({kSequences, kLength});
  whole.attended = whole.ids.remainder(3).ne(0);
  whole.position_ids = at::arange(kLength, at::kLong).unsqueeze(0);
  whole.skip = 1;
  return whole;
}

TEST(SliceTest, PartsAreTheWholeInOrder) {
  const Calibration whole = padded_tokens();
  for (const std::int64_t parts : {1, 2, 3, 7}) {
    std::vector<at::Tensor> ids, attended;
    std::int64_t rows = 0;
    for (std::int64_t i = 0; i < parts; ++i) {
      const Calibration part = slice(whole, {}, i, parts);
      EXPECT_EQ(part.rows_before, rows);
      EXPECT_LE(std::abs(part.sequences() - kSequences / parts), 1) << "nearly equal";
      EXPECT_TRUE(part.position_ids.equal(whole.position_ids)) << "one row for all sequences";
      ids.push_back(part.ids);
      attended.push_back(part.attended);
      rows += part.rows();
    }
    EXPECT_TRUE(at::cat(ids).equal(whole.ids));
    EXPECT_TRUE(at::cat(attended).equal(whole.attended));
    EXPECT_EQ(rows, whole.rows());
  }
}

TEST(SliceTest, PicturesGoWithTheSequenceThatHoldsTheirPlaces) {
  Architecture architecture;
  architecture.vision.emplace();
  architecture.vision->token = 99;
  architecture.vision->pooling = 1;
  Calibration whole;
  whole.ids = at::zeros({4, 4}, at::kLong);
  for (std::int64_t i = 0; i < 4; ++i) {  // one place in the first sequence, four in the last
    whole.ids[i].narrow(0, 0, i + 1).fill_(99);
    whole.pictures.push_back({at::full({i + 1, 2}, i, at::kFloat), 1, i + 1});
  }
  for (std::int64_t i = 0; i < 2; ++i) {
    const Calibration part = slice(whole, architecture, i, 2);
    ASSERT_EQ(part.pictures.size(), 2);
    EXPECT_EQ(part.pictures[0].columns, 2 * i + 1);
    EXPECT_EQ(part.pictures[1].columns, 2 * i + 2);
  }
  whole.ids[0].fill_(0);
  whole.pictures.erase(whole.pictures.begin());
  EXPECT_TRUE(
      test::contains(test::message_of(ExitCode::usage, [&] { slice(whole, architecture, 0, 4); }),
                     "hold no picture"));
}

TEST(SliceTest, RefusesAPartWithoutARowThatCounts) {
  Calibration whole = padded_tokens();
  whole.attended[kSequences - 1].fill_(false);
  EXPECT_GT(slice(whole, {}, 2, 3).rows(), 0);
  EXPECT_TRUE(test::contains(test::message_of(ExitCode::usage, [&] { slice(whole, {}, 6, 7); }),
                             "no token"));
}

TEST(SliceTest, RefusesMorePartsThanSequences) {
  EXPECT_TRUE(
      test::contains(test::message_of(ExitCode::usage, [] { slice(padded_tokens(), {}, 0, 8); }),
                     "8 ranks for 7 sequences"));
}

}  // namespace
}  // namespace deadray
