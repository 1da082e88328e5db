#include "verify/measure/saved/saved_run.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <limits>

#include "tests/support/errors.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/thread_ranks.h"

namespace deadray {
namespace {

using test::contains;
using test::message_of;

const nlohmann::json kInputs{{"--seed", 1}, {"model", "m"}};

RunState state_at(std::int64_t node) {
  RunState state;
  state.node = node;
  state.stream = at::arange(12, at::kFloat).view({4, 3}) / 7 + static_cast<double>(node);
  // CBOR keeps what JSON cannot say.
  state.measured = {{"sites", {"ln"}}, {"value", std::numeric_limits<double>::infinity()}};
  ResidualStream::State residual;
  residual.tokens = residual.all_tokens = 4;
  residual.hidden_size = 3;
  residual.spectrum.centred = {0.1, std::numeric_limits<double>::quiet_NaN()};
  residual.spectrum.rank = 2;
  residual.row_space = at::eye(3, at::kDouble).narrow(1, 0, 2).contiguous();
  state.residual = residual;
  return state;
}

class SavedRunTest : public ::testing::Test {
 protected:
  std::filesystem::path folder() const { return folder_.path() / "run"; }
  std::filesystem::path file(std::int64_t node) const {
    return folder() / fmt::format("rank-0-of-1.block-{}.safetensors", node);
  }
  SavedRun open(const nlohmann::json& inputs = kInputs) const {
    return {folder(), inputs, one_process()};
  }

 private:
  test::TemporaryFolder folder_;
};

TEST_F(SavedRunTest, GivesBackWhatWasSaved) {
  EXPECT_FALSE(open().load().has_value());
  const RunState saved = state_at(3);
  open().save(saved);
  const std::optional<RunState> loaded = open().load();
  ASSERT_TRUE(loaded.has_value());
  EXPECT_EQ(loaded->node, 3);
  EXPECT_TRUE(loaded->stream.equal(saved.stream));
  EXPECT_EQ(loaded->stream.scalar_type(), at::kFloat);
  EXPECT_EQ(loaded->measured, saved.measured);
  ASSERT_TRUE(loaded->residual.has_value());
  EXPECT_EQ(loaded->residual->spectrum.centred[0], 0.1);
  EXPECT_TRUE(std::isnan(loaded->residual->spectrum.centred[1]));
  EXPECT_EQ(loaded->residual->spectrum.rank, 2);
  EXPECT_TRUE(loaded->residual->row_space.equal(saved.residual->row_space));
}

TEST_F(SavedRunTest, TheLastStateReplacesTheOneBefore) {
  SavedRun run = open();
  run.save(state_at(1));
  run.save(state_at(10));
  EXPECT_FALSE(std::filesystem::exists(file(1)));
  EXPECT_EQ(open().load()->node, 10);
}

TEST_F(SavedRunTest, AStateOfOtherInputsIsRefusedByName) {
  open().save(state_at(1));
  const std::string message =
      message_of(ExitCode::usage, [&] { open({{"--seed", 2}, {"model", "m"}}).load(); });
  EXPECT_TRUE(contains(message, "--seed was 1, is 2"));
}

TEST_F(SavedRunTest, EveryDamageIsNoticed) {
  open().save(state_at(1));
  const auto size = std::filesystem::file_size(file(1));
  // A bit of the stream, whose values are the last bytes but those of the row space.
  std::fstream(file(1), std::ios::in | std::ios::out | std::ios::binary)
      .seekp(static_cast<std::streamoff>(size - 2 * 3 * sizeof(double) - 3))
      .put('\x55');
  EXPECT_TRUE(contains(message_of(ExitCode::malformed, [&] { open().load(); }), "checksum"));
  open().save(state_at(1));
  std::string text = test::read_text(file(1));
  text[text.find("measured") + 20] ^= 1;  // a digit of what the norms have given
  std::ofstream(file(1), std::ios::binary) << text;
  EXPECT_TRUE(contains(message_of(ExitCode::malformed, [&] { open().load(); }), "checksum"));
  std::filesystem::resize_file(file(1), size - 5);
  message_of(ExitCode::malformed, [&] { open().load(); });
}

TEST_F(SavedRunTest, RanksGoOnFromTheLastBlockThatAllHaveSaved) {
  test::ThreadRanks::run(
      2, [&](Communicator& ranks) { SavedRun(folder(), kInputs, ranks).save(state_at(2)); });
  // Rank 0 came to save block 4, and rank 1 was killed before it could.
  std::filesystem::copy_file(folder() / "rank-0-of-2.block-2.safetensors",
                             folder() / "rank-0-of-2.block-4.safetensors");
  test::ThreadRanks::run(2, [&](Communicator& ranks) {
    EXPECT_EQ(SavedRun(folder(), kInputs, ranks).load()->node, 2);
  });
  EXPECT_TRUE(contains(message_of(ExitCode::usage, [&] { open().load(); }), "of 2 ranks"));
}

TEST_F(SavedRunTest, WhereARanksPartIsMissingItSaysSo) {
  test::ThreadRanks::run(
      2, [&](Communicator& ranks) { SavedRun(folder(), kInputs, ranks).save(state_at(2)); });
  std::filesystem::remove(folder() / "rank-1-of-2.block-2.safetensors");
  test::ThreadRanks::run(2, [&](Communicator& ranks) {
    SavedRun run(folder(), kInputs, ranks);
    EXPECT_FALSE(run.load().has_value());
    EXPECT_TRUE(run.lacks_parts());
  });
}

TEST_F(SavedRunTest, NothingIsReadOrWrittenThroughALink) {
  open().save(state_at(1));
  std::filesystem::rename(file(1), folder() / "elsewhere");
  std::filesystem::create_symlink(folder() / "elsewhere", file(1));
  EXPECT_TRUE(contains(message_of(ExitCode::usage, [&] { open().load(); }), "a link to"));
  EXPECT_TRUE(
      contains(message_of(ExitCode::usage, [&] { open().save(state_at(1)); }), "a link to"));
}

TEST_F(SavedRunTest, IsGoneAfterTheEnd) {
  open().save(state_at(1));
  remove_saved_run(folder(), one_process());
  EXPECT_FALSE(std::filesystem::exists(folder()));
}

TEST_F(SavedRunTest, LeavesOtherFilesOfTheFolderAlone) {
  open().save(state_at(1));
  std::ofstream(folder() / "notes.txt") << "mine";
  remove_saved_run(folder(), one_process());
  EXPECT_TRUE(std::filesystem::exists(folder() / "notes.txt"));
  EXPECT_FALSE(std::filesystem::exists(file(1)));
}

}  // namespace
}  // namespace deadray
