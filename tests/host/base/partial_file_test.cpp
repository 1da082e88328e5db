#include "host/base/partial_file.h"

#include <fmt/format.h>

#include "host/base/input_file.h"
#include "tests/support/errors.h"
#include "tests/support/temporary_folder.h"

namespace deadray::test {
namespace {

const PartialFile kWhat{100, "\"abc\"", "https://hub.example/a/b/model.safetensors", {}};

std::string text_at(const InputFile& file, std::uint64_t begin, std::size_t count) {
  std::string bytes(count, '?');
  file.read(begin, count, bytes.data());
  return bytes;
}

std::vector<ByteRange> ranges_of(const fs::path& file) {
  return InputFile(file).partial()->what().ranges;
}

void write_pieces(const fs::path& file, const std::vector<Piece>& pieces) {
  write_partial_file(file, kWhat, pieces);
}

/// A partial file with any header.
std::string partial(const std::string& json, const std::string& content = {}) {
  std::string text = "deadray partial\n";
  for (unsigned i = 0; i < 8; ++i) text += static_cast<char>(json.size() >> (8 * i) & 0xff);
  return text + json + content;
}

std::string header(const std::string& size, const std::string& ranges) {
  return fmt::format(R"({{"size": {}, "etag": "e", "url": "u", "ranges": {}}})", size, ranges);
}

TEST(PartialFileTest, ReadsAsTheWholeFile) {
  const TemporaryFolder folder;
  const fs::path path = folder / "model.safetensors";
  write_pieces(path, {{90, "the end..."}, {0, "begin"}, {40, "middle"}});
  const InputFile file(path);
  EXPECT_EQ(file.size(), 100u);
  EXPECT_EQ(file.partial()->what().etag, kWhat.etag);
  EXPECT_EQ(file.partial()->what().url, kWhat.url);
  EXPECT_EQ(text_at(file, 0, 5), "begin");
  EXPECT_EQ(text_at(file, 42, 3), "ddl");
  EXPECT_EQ(text_at(file, 90, 10), "the end...");
  EXPECT_EQ(text_at(file, 70, 0), "");
  EXPECT_NO_THROW(file.require_unchanged());
  EXPECT_EQ(InputFile(folder.write("whole", "bytes")).partial(), nullptr);
}

TEST(PartialFileTest, RefusesWhatIsNotThere) {
  const TemporaryFolder folder;
  write_pieces(folder / "part", {{10, "0123456789"}});
  const InputFile file(folder / "part");
  const ByteRange wanted[] = {{0, 4}, {8, 12}, {19, 21}, {20, 30}, {99, 100}};
  for (const ByteRange& range : wanted) try {
      text_at(file, range.begin, range.end - range.begin);
      ADD_FAILURE() << range.begin;
    } catch (const MissingBytes& missing) {
      EXPECT_EQ(missing.wanted, range);
      EXPECT_EQ(missing.file, folder / "part");
    }
  EXPECT_TRUE(contains(message_of(ExitCode::malformed, [&] { text_at(file, 19, 2); }),
                       "part: bytes 19 to 21 of https://hub.example/a/b/model.safetensors were "
                       "not fetched"));
  EXPECT_TRUE(contains(message_of(ExitCode::malformed, [&] { text_at(file, 99, 2); }),
                       "ends at byte 100, 2 bytes from 99 on were wanted"));
  EXPECT_TRUE(
      contains(message_of(ExitCode::malformed, [&] { text_at(file, ~std::uint64_t{0}, 2); }),
               "ends at byte 100"));
}

TEST(PartialFileTest, JoinsRangesThatMeetOrOverlap) {
  const TemporaryFolder folder;
  const fs::path path = folder / "part";
  write_pieces(path, {{0, "abcd"}, {20, "uvw"}});
  write_pieces(path, {{4, "efgh"}});
  EXPECT_EQ(ranges_of(path), (std::vector<ByteRange>{{0, 8}, {20, 23}}));
  write_pieces(path, {{6, "ghijklmnopqrstuvwxy"}, {2, "c"}, {50, ""}});
  EXPECT_EQ(ranges_of(path), (std::vector<ByteRange>{{0, 25}}));
  EXPECT_EQ(text_at(InputFile(path), 0, 25), "abcdefghijklmnopqrstuvwxy");
  write_pieces(path, {});
  EXPECT_EQ(text_at(InputFile(path), 0, 25), "abcdefghijklmnopqrstuvwxy");
  EXPECT_EQ(folder.n_entries(), 1u);
}

TEST(PartialFileTest, TakesTheSizeOnceItIsKnown) {
  const TemporaryFolder folder;
  write_partial_file(folder / "part", {0, "", "u", {}}, {});
  const InputFile file(folder / "part");
  EXPECT_EQ(file.size(), 0u);
  EXPECT_THROW(text_at(file, 0, 8), MissingBytes);
  write_pieces(folder / "part", {{0, "abcd"}});
  EXPECT_EQ(InputFile(folder / "part").size(), 100u);
}

TEST(PartialFileTest, MayGrowWhileItIsOpen) {
  const TemporaryFolder folder;
  write_pieces(folder / "part", {{0, "abcd"}});
  const InputFile file(folder / "part");
  write_pieces(folder / "part", {{10, "klm"}});
  EXPECT_NO_THROW(file.require_unchanged());
  EXPECT_EQ(text_at(file, 1, 3), "bcd");
  fs::remove(folder / "part");
  write_partial_file(folder / "part", {100, "\"other\"", "u", {}}, {});
  EXPECT_TRUE(contains(message_of(ExitCode::malformed, [&] { file.require_unchanged(); }),
                       "was replaced by another file"));
}

TEST(PartialFileTest, AddsToNoOtherContent) {
  const TemporaryFolder folder;
  write_pieces(folder / "part", {{0, "abcd"}});
  const Piece more{4, "e"};
  const auto write = [&](std::uint64_t size, const char* etag) {
    return message_of(ExitCode::malformed, [&] {
      write_partial_file(folder / "part", {size, etag, "u", {}}, std::span(&more, 1));
    });
  };
  EXPECT_TRUE(contains(write(100, "\"new\""),
                       "holds 100 bytes with ETag '\"abc\"', the server now "
                       "has 100 with '\"new\"'"));
  EXPECT_TRUE(contains(write(101, "\"abc\""), "the server now has 101"));
  EXPECT_EQ(text_at(InputFile(folder / "part"), 0, 4), "abcd");
  folder.write("whole", "bytes");
  EXPECT_TRUE(contains(message_of(ExitCode::malformed, [&] { write_pieces(folder / "whole", {}); }),
                       "is a whole file"));
  for (const Piece& outside : {Piece{98, "xyz"}, Piece{~std::uint64_t{0}, "x"}})
    EXPECT_TRUE(
        contains(message_of(ExitCode::malformed, [&] { write_pieces(folder / "new", {outside}); }),
                 "end after its 100 bytes"));
  EXPECT_FALSE(fs::exists(folder / "new"));
}

TEST(PartialFileTest, NamesWhatIsDamaged) {
  const std::string good = header("100", "[[0, 2], [4, 6]]");
  const std::pair<std::string, std::string> damaged[] = {
      {partial(good).substr(0, 20), "ends within its first 24 bytes"},
      {partial(good).substr(0, 60), "its header says"},
      {std::string("deadray partial\n") + std::string(8, '\xff') + "{}", "its header says"},
      {partial("[1]"), "no JSON object"},
      {partial("{\"size\": 1"), "no JSON object"},
      {partial("{}"), "has no 'size'"},
      {partial(R"({"size": 1, "etag": "", "url": ""})"), "has no 'ranges'"},
      {partial(R"({"size": 1, "etag": 7, "url": "", "ranges": []})"), "etag is 7"},
      {partial(header("-1", "[]")), "size is -1"},
      {partial(header("1e3", "[]")), "size is 1000.0"},
      {partial(header("18446744073709551615", "[]")), "size is 18446744073709551615"},
      {partial(header("100", "{}")), "ranges is {}"},
      {partial(header("100", "[[1]]")), "a range is [1]"},
      {partial(header("100", "[[1, \"2\"]]")), "a range's end is \"2\""},
      {partial(header("100", "[[2, 2]]")), "range 2 to 2 of 100 bytes"},
      {partial(header("100", "[[4, 2]]")), "range 4 to 2 of 100 bytes"},
      {partial(header("100", "[[98, 101]]"), "abc"), "range 98 to 101 of 100 bytes"},
      {partial(header("100", "[[0, 2], [2, 4]]"), "abcd"), "range 2 to 4"},
      {partial(header("100", "[[4, 6], [0, 2]]"), "abcd"), "range 0 to 2"},
      {partial(good, "abc"), "3 bytes after its header, expected 4"},
      {partial(good, "abcde"), "5 bytes after its header, expected 4"},
      {partial(header("9223372036854775807", "[[0, 9223372036854775807]]"), "abc"),
       "3 bytes after its header, expected 9223372036854775807"},
  };
  const TemporaryFolder folder;
  for (const auto& [bytes, what] : damaged) {
    const fs::path file = folder.write("part", bytes);
    const std::string message = message_of(ExitCode::malformed, [&] { InputFile{file}; });
    EXPECT_TRUE(contains(message, "part: partial file: "));
    EXPECT_TRUE(contains(message, what));
  }
  EXPECT_EQ(text_at(InputFile(folder.write("part", partial(good, "abcd"))), 4, 2), "cd");
}

}  // namespace
}  // namespace deadray::test
