#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>

#include <cerrno>
#include <cstring>

#include "tests/support/spawned.h"

// What the commands do on a disk that is full: one line, exit code 6, nothing half.
namespace deadray::test {
namespace {

const std::string kModel = DEADRAY_FIXTURES "/models/gpt2-tied";

struct FullDiskCase {
  std::string name;
  std::vector<std::string> arguments;  // OUT is the disk
  std::size_t room;                    // bytes that are free
  std::ptrdiff_t lines = 1;            // a suite has one more, of its row
};
void PrintTo(const FullDiskCase& value, std::ostream* out) { *out << value.name; }

std::vector<FullDiskCase> full_disk_cases() {
  const std::vector<std::string> predict = {"predict", kModel, "--quiet"},
                                 verify = {"verify", kModel, "--random-tokens", "96", "--quiet"};
  const auto with = [](std::vector<std::string> words, std::vector<std::string> more) {
    words.insert(words.end(), more.begin(), more.end());
    return words;
  };
  return {{"PredictRecord", with(predict, {"--json", "OUT/record.json"}), 0},
          {"Directions", with(predict, {"--directions", "OUT/directions.safetensors"}), 0},
          {"Convert", {"convert", kModel, "OUT/converted"}, 0},
          {"ConvertUnderway", {"convert", kModel, "OUT/converted"}, 8192},
          {"VerifyRecord", with(verify, {"--json", "OUT/record.json"}), 0},
          {"VerifyRecordUnderway", with(verify, {"--site", "all", "--json", "OUT/r.json"}), 4096},
          {"Dump", with(verify, {"--dump", "OUT/dump.safetensors"}), 0},
          {"DumpUnderway", with(verify, {"--dump", "OUT/dump.safetensors"}), 4096},
          {"FisherRecord", {"fisher", kModel, "--quiet", "--json", "OUT/record.json"}, 0},
          {"Suite", {"suite", "ROSTER", "--out", "OUT/suite", "--quiet"}, 0, 2}};
}

std::vector<std::string> files_in(const fs::path& folder) {
  std::vector<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) files.push_back(entry.path().filename().string());
  return files;
}

/// A disk of some pages in memory, seen by this process and its children alone.
class FullDiskTest : public testing::TestWithParam<FullDiskCase> {
 protected:
  void SetUp() override {
    if (unshare(CLONE_NEWNS) != 0 || mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount("tmpfs", folder_.path().c_str(), "tmpfs", 0, "size=16k") != 0)
      GTEST_SKIP() << "not allowed to mount a disk here: " << std::strerror(errno);
    mounted_ = true;
    write_text(folder_ / "filler", std::string(16'384 - GetParam().room, 'x'));
  }
  void TearDown() override {
    if (mounted_) umount2(folder_.path().c_str(), MNT_DETACH);
  }

  TemporaryFolder folder_;
  bool mounted_ = false;
};

TEST_P(FullDiskTest, EndsWithOneLineAndLeavesNothingHalf) {
  const TemporaryFolder elsewhere;
  const fs::path roster = elsewhere.write(
      "roster.json",
      R"({"schema":"deadray/roster/1","models":[{"name":"m","path":")" + kModel + R"("}]})");
  std::vector<std::string> arguments = GetParam().arguments;
  for (std::string& word : arguments) {
    if (word.starts_with("OUT")) word.replace(0, 3, folder_.path().string());
    if (word == "ROSTER") word = roster;
  }
  Spawned run(arguments);
  const std::string errors = run.errors();
  EXPECT_EQ(run.wait(), static_cast<int>(ExitCode::resources)) << errors;
  EXPECT_EQ(std::count(errors.begin(), errors.end(), '\n'), GetParam().lines) << errors;
  EXPECT_NE(errors.find("no room on its disk"), std::string::npos) << errors;
  EXPECT_EQ(files_in(folder_.path()), std::vector<std::string>{"filler"});
}

INSTANTIATE_TEST_SUITE_P(Commands, FullDiskTest, testing::ValuesIn(full_disk_cases()),
                         [](const auto& test) { return test.param.name; });

/// `ulimit -f`, in blocks of 512 or 1024 bytes. Its signal would end the program without a word.
TEST(FileSizeLimitTest, EndsWithOneLine) {
  const TemporaryFolder folder;
  const std::string record = folder / "record.json";
  Spawned run({"-c", "ulimit -f 2; exec \"$0\" \"$@\"", DEADRAY_BIN "/deadray", "predict", kModel,
               "--quiet", "--json", record},
              -1, "/bin/sh");
  const std::string errors = run.errors();
  EXPECT_EQ(run.wait(), static_cast<int>(ExitCode::resources)) << errors;
  EXPECT_NE(errors.find("larger than files may be there (`ulimit -f`"), std::string::npos)
      << errors;
  EXPECT_EQ(folder.n_entries(), 0u);
}

}  // namespace
}  // namespace deadray::test
