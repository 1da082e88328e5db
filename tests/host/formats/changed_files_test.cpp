#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <thread>

#include "host/base/input_file.h"
#include "host/formats/checkpoint.h"
#include "tests/support/errors.h"
#include "tests/support/sharded_model.h"

// Files that change between their opening and their reading.
namespace deadray::test {
namespace {

/// Older kernels stamp files to some milliseconds.
void let_the_clock_tick() { std::this_thread::sleep_for(std::chrono::milliseconds(20)); }

class ChangedFilesTest : public testing::Test {
 protected:
  void SetUp() override {
    write_sharded(folder_);
    let_the_clock_tick();
  }
  std::string error_of_reading(const Checkpoint& checkpoint, std::string_view name = "b") {
    return message_of(ExitCode::malformed, [&] { checkpoint.read_fp64(checkpoint.at(name)); });
  }
  void replace(std::string_view name, const std::string& content) {
    let_the_clock_tick();
    fs::rename(folder_.write("new", content), folder_ / name);
  }

  TemporaryFolder folder_;
};

TEST_F(ChangedFilesTest, ReadsFilesThatStayAsTheyAre) {
  const Checkpoint checkpoint = Checkpoint::open(folder_.path());
  EXPECT_EQ(checkpoint.read_fp64(checkpoint.at("a")).front(), 1.0);
  EXPECT_EQ(checkpoint.read_fp64(checkpoint.at("b")).front(), 2.0);
}

TEST_F(ChangedFilesTest, NamesAShardThatWasRewritten) {
  const Checkpoint checkpoint = Checkpoint::open(folder_.path());
  let_the_clock_tick();
  folder_.write("two.safetensors", one_tensor("b", 3.0f));
  const std::string message = error_of_reading(checkpoint);
  EXPECT_TRUE(contains(message,
                       "two.safetensors: was rewritten since it was opened: run again on "
                       "files that stay as they are"));
  EXPECT_TRUE(contains(message, "tensor 'b'"));
  EXPECT_EQ(checkpoint.read_fp64(checkpoint.at("a")).front(), 1.0) << "the other is as it was";
}

TEST_F(ChangedFilesTest, NamesAShardThatGrewOrShrank) {
  const Checkpoint checkpoint = Checkpoint::open(folder_.path());
  const auto size = fs::file_size(folder_ / "two.safetensors");
  fs::resize_file(folder_ / "two.safetensors", size + 5);
  EXPECT_TRUE(contains(error_of_reading(checkpoint),
                       "grew from " + std::to_string(size) + " to " + std::to_string(size + 5)));
  fs::resize_file(folder_ / "two.safetensors", size - 1);
  EXPECT_TRUE(contains(error_of_reading(checkpoint),
                       "shrank from " + std::to_string(size) + " to " + std::to_string(size - 1)));
}

TEST_F(ChangedFilesTest, NamesAShardThatWasReplaced) {
  const Checkpoint checkpoint = Checkpoint::open(folder_.path());
  replace("two.safetensors", one_tensor("b", 3.0f));
  EXPECT_TRUE(contains(error_of_reading(checkpoint),
                       "two.safetensors: was replaced by another file since it was opened"));
}

TEST_F(ChangedFilesTest, NamesAShardThatWasRemoved) {
  const Checkpoint checkpoint = Checkpoint::open(folder_.path());
  fs::remove(folder_ / "two.safetensors");
  EXPECT_TRUE(contains(error_of_reading(checkpoint), "two.safetensors: was removed since"));
}

/// Its data are one version's still; but the folder's name means other weights now.
TEST_F(ChangedFilesTest, NamesAFolderThatWasReplacedAtTheNextLongRead) {
  const TemporaryFolder parent;
  const std::string long_one =
      safetensors(R"({"t":{"dtype":"F64","shape":[131072],"data_offsets":[0,1048576]}})",
                  std::string(1 << 20, '\0'));
  parent.write("model/m.safetensors", long_one);
  const Checkpoint checkpoint = Checkpoint::open(parent / "model/m.safetensors");
  fs::rename(parent / "model", parent / "old");
  let_the_clock_tick();
  parent.write("model/m.safetensors", long_one);
  EXPECT_TRUE(contains(error_of_reading(checkpoint, "t"), "was replaced by another file"));
}

TEST_F(ChangedFilesTest, TakesAnotherNameOrModeForNoChange) {
  const Checkpoint checkpoint = Checkpoint::open(folder_.path());
  fs::create_hard_link(folder_ / "two.safetensors", folder_ / "copy");
  fs::permissions(folder_ / "two.safetensors", fs::perms::owner_read);
  EXPECT_EQ(checkpoint.read_fp64(checkpoint.at("b")).front(), 2.0);
  fs::remove(folder_ / "copy");
  EXPECT_EQ(checkpoint.read_fp64(checkpoint.at("b")).front(), 2.0);
}

TEST_F(ChangedFilesTest, ChecksReadsThatGoTogetherAtTheirEnd) {
  const Checkpoint checkpoint = Checkpoint::open(folder_.path());
  bool read = false;
  const std::string message = message_of(ExitCode::malformed, [&] {
    checkpoint.read_together([&] {
      checkpoint.read_fp64(checkpoint.at("b"));
      let_the_clock_tick();
      folder_.write("two.safetensors", one_tensor("b", 3.0f));
      checkpoint.read_fp64(checkpoint.at("a"));
      read = true;
    });
  });
  EXPECT_TRUE(read);
  EXPECT_TRUE(contains(message, "two.safetensors: was rewritten"));
}

/// What the first error was matters less: the file that changed may have caused it.
TEST_F(ChangedFilesTest, NamesTheChangeRatherThanWhatItLedTo) {
  const Checkpoint checkpoint = Checkpoint::open(folder_.path());
  const std::string message = message_of(ExitCode::malformed, [&] {
    checkpoint.read_together([&] {
      replace("two.safetensors", one_tensor("b", 3.0f));
      throw MalformedError("gamma is not finite");
    });
  });
  EXPECT_TRUE(contains(message, "two.safetensors: was replaced"));
}

TEST_F(ChangedFilesTest, RefusesAShardThatWasReplacedBeforeItsTurnToBeOpened) {
  const FileIdentity one = identify(folder_ / "one.safetensors"),
                     two = identify(folder_ / "two.safetensors");
  EXPECT_NO_THROW(InputFile(folder_ / "one.safetensors").require_identity(one));
  replace("two.safetensors", one_tensor("b", 3.0f));
  const InputFile opened(folder_ / "two.safetensors");
  EXPECT_TRUE(
      contains(message_of(ExitCode::malformed, [&] { opened.require_identity(two); }),
               "two.safetensors: was replaced or rewritten while its checkpoint was being opened"));
}

}  // namespace
}  // namespace deadray::test
