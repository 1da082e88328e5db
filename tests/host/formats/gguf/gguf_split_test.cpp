#include "host/formats/gguf/split.h"

#include <map>
#include <string>

#include "host/formats/gguf/gguf.h"
#include "tests/support/errors.h"
#include "tests/support/temporary_folder.h"

namespace deadray::test {
namespace {

const fs::path kParts[] = {DEADRAY_FIXTURES "/gguf/split-00001-of-00003.gguf",
                           DEADRAY_FIXTURES "/gguf/split-00002-of-00003.gguf",
                           DEADRAY_FIXTURES "/gguf/split-00003-of-00003.gguf"};

ContainerHeader read_part(int part, std::size_t file_index) {
  return read_gguf_header(InputFile(kParts[part]), {}, file_index);
}

TEST(GgufSplitTest, TakesTheThreePartsThatPythonsGgufWrote) {
  std::size_t n_tensors = 0;
  for (int part = 0; part < 3; ++part)
    n_tensors += read_part(part, static_cast<std::size_t>(part)).tensors.size();
  EXPECT_EQ(n_tensors, 5u);
  require_all_parts(kParts[0], read_part(0, 0).metadata, 3, n_tensors);
}

TEST(GgufSplitTest, AsksForTheFirstPart) {
  EXPECT_TRUE(contains(message_of(ExitCode::malformed, [] { read_part(1, 0); }),
                       "split-00002-of-00003.gguf: is part 2 of 3: give the first part"));
}

TEST(GgufSplitTest, RefusesPartsInAnotherOrder) {
  EXPECT_TRUE(contains(message_of(ExitCode::malformed, [] { read_part(2, 1); }),
                       "is part 3 of 3, expected part 2"));
  EXPECT_TRUE(contains(message_of(ExitCode::malformed, [] { read_part(0, 1); }),
                       "is part 1 of 3, expected part 2"));
}

TEST(GgufSplitTest, RefusesMissingPartsAndTensors) {
  const auto metadata = read_part(0, 0).metadata;
  EXPECT_TRUE(contains(
      message_of(ExitCode::malformed, [&] { require_all_parts(kParts[0], metadata, 1, 2); }),
      "says 3 parts, found 1"));
  EXPECT_TRUE(contains(
      message_of(ExitCode::malformed, [&] { require_all_parts(kParts[0], metadata, 3, 4); }),
      "says 5 tensors in all parts, found 4"));
  EXPECT_TRUE(
      contains(message_of(ExitCode::malformed, [&] { require_all_parts(kParts[0], {}, 2, 4); }),
               "says 1 parts, found 2"));
}

TEST(GgufSplitTest, RefusesNumbersThatAreNone) {
  for (const char* value : {"-1", "1.5", "\"three\"", "[1]"})
    EXPECT_TRUE(
        contains(message_of(ExitCode::malformed,
                            [&] { require_part_number("m.gguf", {{"split.count", value}}, 0); }),
                 std::string("m.gguf: key 'split.count' is ") + value));
}

TEST(GgufSplitTest, TakesAFileThatIsNotSplit) {
  const std::map<std::string, std::string> zero_parts{{"split.count", "0"},
                                                      {"split.tensors.count", "7"}};
  EXPECT_NO_THROW(require_part_number("m.gguf", {}, 0));
  EXPECT_NO_THROW(require_all_parts("m.gguf", {}, 1, 7));
  EXPECT_NO_THROW(require_all_parts("m.gguf", zero_parts, 1, 7));
}

}  // namespace
}  // namespace deadray::test
