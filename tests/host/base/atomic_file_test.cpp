#include "host/base/atomic_file.h"

#include <sys/stat.h>

#include "tests/support/errors.h"
#include "tests/support/file_size_limit.h"
#include "tests/support/temporary_folder.h"

namespace deadray::test {
namespace {

TEST(AtomicFileTest, ReplacesAFileAndLeavesNothingElse) {
  const TemporaryFolder folder;
  const fs::path file = folder.write("record.json", "old");
  write_file_atomically(file, "new");
  EXPECT_EQ(read_text(file), "new");
  EXPECT_EQ(folder.n_entries(), 1u);
  const mode_t mask = ::umask(0);
  ::umask(mask);
  struct stat status;
  ASSERT_EQ(::stat(file.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0666 & ~mask) << "as any file that the user makes";
}

TEST(AtomicFileTest, LeavesTheOldFileWhenItIsNotCommitted) {
  const TemporaryFolder folder;
  const fs::path file = folder.write("record.json", "old");
  {
    AtomicFile out(file);
    out.write(std::as_bytes(std::span("half", 4)));
  }
  EXPECT_EQ(read_text(file), "old");
  EXPECT_EQ(folder.n_entries(), 1u);
}

TEST(AtomicFileTest, LeavesNoHalfFileWhenTheDiskIsFull) {
  const TemporaryFolder folder;
  const fs::path file = folder.write("record.json", "old");
  std::string message;
  {
    const FileSizeLimit limit(4096);
    message = message_of(ExitCode::resources,
                         [&] { write_file_atomically(file, std::string(10'000, 'x')); });
  }
  EXPECT_TRUE(contains(message, "record.json: cannot be written"));
  EXPECT_TRUE(contains(message, "needs 10000 bytes"));
  EXPECT_EQ(read_text(file), "old");
  EXPECT_EQ(folder.n_entries(), 1u);
}

TEST(AtomicFileTest, LeavesNoHalfFileWhenTheDiskFillsUnderway) {
  const TemporaryFolder folder;
  {
    const FileSizeLimit limit(4096);
    AtomicFile out(folder / "dump");  // size not known beforehand, so nothing is reserved
    const std::string piece(3000, 'x');
    out.write(std::as_bytes(std::span(piece)));
    EXPECT_TRUE(contains(
        message_of(ExitCode::resources, [&] { out.write(std::as_bytes(std::span(piece))); }),
        "at byte 3000, needs "));
  }
  EXPECT_EQ(folder.n_entries(), 0u);
}

TEST(AtomicFileTest, WritesIntoADeviceInsteadOfReplacingIt) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  EXPECT_TRUE(
      contains(message_of(ExitCode::resources, [] { write_file_atomically("/dev/full", "x"); }),
               "/dev/full: cannot be written (at byte 0, needs 1 bytes): no room"));
  EXPECT_NO_THROW(write_file_atomically("/dev/null", "x"));
  EXPECT_NO_THROW(check_writable("/dev/null"));
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
}

TEST(AtomicFileTest, WritesThroughALinkAndKeepsIt) {
  const TemporaryFolder folder;
  folder.write("real.json", "old");
  fs::create_symlink("real.json", folder / "latest.json");
  write_file_atomically(folder / "latest.json", "new");
  EXPECT_TRUE(fs::is_symlink(folder / "latest.json"));
  EXPECT_EQ(read_text(folder / "real.json"), "new");
}

TEST(CheckWritableTest, AcceptsAWritablePlaceWithoutATrace) {
  const TemporaryFolder folder;
  EXPECT_NO_THROW(check_writable(folder / "new.json"));
  EXPECT_EQ(folder.n_entries(), 0u);
  const fs::path old = folder.write("old.json", "old");
  EXPECT_NO_THROW(check_writable(old));
  EXPECT_EQ(read_text(old), "old");
  EXPECT_NO_THROW(check_writable(folder / (std::string(250, 'n') + ".json")))
      << "255 bytes, as long as names may be";
}

TEST(CheckWritableTest, NamesAMissingFolder) {
  const TemporaryFolder folder;
  EXPECT_TRUE(contains(
      message_of(ExitCode::resources, [&] { check_writable(folder / "no/such/out.json"); }),
      "folder " + (folder / "no/such").string() + " does not exist: create it first"));
}

TEST(CheckWritableTest, RefusesAFolderInPlaceOfAFile) {
  const TemporaryFolder folder;
  EXPECT_TRUE(contains(message_of(ExitCode::resources, [&] { check_writable(folder.path()); }),
                       "is a folder, expected a file to write"));
}

TEST(CheckWritableTest, RefusesAReadOnlyFolder) {
  const TemporaryFolder folder;
  if (::geteuid() == 0) GTEST_SKIP() << "root may write everywhere";
  fs::permissions(folder.path(), fs::perms::owner_read | fs::perms::owner_exec);
  EXPECT_TRUE(
      contains(message_of(ExitCode::resources, [&] { check_writable(folder / "out.json"); }),
               "not allowed to write into"));
  fs::permissions(folder.path(), fs::perms::owner_all);
}

TEST(CheckWritableTest, RefusesAFileSystemThatTakesNoFiles) {
  if (!fs::is_directory("/proc/self")) GTEST_SKIP() << "no /proc here";
  EXPECT_TRUE(
      contains(message_of(ExitCode::resources, [] { check_writable("/proc/self/out.json"); }),
               "/proc/self/out.json: cannot be written (creating it): "));
}

}  // namespace
}  // namespace deadray::test
