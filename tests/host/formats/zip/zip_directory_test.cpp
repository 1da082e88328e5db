#include "host/formats/zip/zip_directory.h"

#include <algorithm>
#include <functional>

#include "tests/support/errors.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/zip_bytes.h"

namespace deadray::test {
namespace {

constexpr std::uint64_t kMost = 1'000'000;

const std::vector<ZipPart> kZipParts{{"a/one", "first"}, {"a/two", std::string(100, 'x')}};

/// All members' contents, in order of place.
std::string read_all(const std::string& bytes, std::uint64_t most = kMost) {
  const TemporaryFolder folder;
  const InputFile file(folder.write("t.zip", bytes));
  ZipDirectory zip(file, most);
  std::string contents;
  for (const ZipMember& member : zip.members()) contents += zip.read(member, most);
  return contents;
}

std::string zip_complaint(const ZipBytes& zip, ExitCode code = ExitCode::malformed) {
  return message_of(code, [&] { read_all(zip.bytes); });
}

TEST(Crc32Test, HasThePublishedCheckValue) { EXPECT_EQ(crc32("123456789"), 0xcbf43926U); }

TEST(ZipDirectoryTest, FindsAndReadsMembers) {
  const TemporaryFolder folder;
  const InputFile file(folder.write("t.zip", zip_of(kZipParts, "a comment").bytes));
  ZipDirectory zip(file, kMost);
  ASSERT_EQ(zip.members().size(), 2U);
  EXPECT_EQ(zip.read(*zip.find("a/one"), kMost), "first");
  EXPECT_EQ(zip.data_begin(*zip.find("a/two")), 2 * 30 + 5 + 5 + 5U);
  EXPECT_EQ(zip.find("a"), nullptr);
  EXPECT_EQ(read_all(zip_of({}).bytes), "");
}

TEST(ZipDirectoryTest, RefusesEveryTruncation) {
  const std::string whole = zip_of(kZipParts).bytes;
  for (std::size_t length = 0; length < whole.size(); ++length)
    message_of(ExitCode::malformed, [&] { read_all(whole.substr(0, length)); });
}

TEST(ZipDirectoryTest, ReadsTheSameOrNothingWhereABitIsFlipped) {
  const std::string whole = zip_of(kZipParts).bytes, expected = read_all(whole);
  for (int bit = 0; bit < 8; ++bit)
    for (std::size_t byte = 0; byte < whole.size(); byte += 3) {
      std::string flipped = whole;
      flipped[byte] = static_cast<char>(flipped[byte] ^ 1 << bit);
      try {
        EXPECT_EQ(read_all(flipped), expected) << "bit " << bit << " of byte " << byte;
      } catch (const Error&) {
      }
    }
}

TEST(ZipDirectoryTest, NamesADamagedMember) {
  ZipBytes zip = zip_of(kZipParts);
  zip.bytes[zip.local[0] + 35] = 'F';
  EXPECT_TRUE(contains(zip_complaint(zip), "member 'a/one': its bytes have the CRC"));
  zip = zip_of(kZipParts);
  zip.bytes[zip.local[1] + 30] = 'b';
  EXPECT_TRUE(contains(zip_complaint(zip), "member 'a/two': its local header has another name"));
  zip = zip_of(kZipParts);
  zip.set(zip.local[0] + 22, std::uint32_t{6});
  EXPECT_TRUE(contains(zip_complaint(zip), "'a/one': its local header contradicts the directory"));
  zip = zip_of(kZipParts);
  zip.bytes[zip.local[0]] = 'Q';
  EXPECT_TRUE(contains(zip_complaint(zip), "member 'a/one': byte 0 holds 'QK\\x03\\x04'"));
}

TEST(ZipDirectoryTest, NamesMembersThatOverlap) {
  ZipBytes zip = zip_of(kZipParts);
  zip.set(zip.central[1] + 42, static_cast<std::uint32_t>(zip.local[0]));
  EXPECT_TRUE(contains(zip_complaint(zip), "overlaps member 'a/"));
  zip = zip_of(kZipParts);
  zip.set(zip.central[1] + 20, std::uint32_t{1000}).set(zip.central[1] + 24, std::uint32_t{1000});
  EXPECT_TRUE(contains(zip_complaint(zip), "takes 1000 bytes and overlaps the directory"));
  zip = zip_of(kZipParts);
  zip.set(zip.local[0] + 28, std::uint16_t{1});  // an extra field that is not there
  EXPECT_TRUE(contains(zip_complaint(zip), "bytes 36 to 36 + 5 overlap what begins at byte 40"));
}

TEST(ZipDirectoryTest, NamesWhatIsWrongWithTheDirectory) {
  ZipBytes zip = zip_of(kZipParts);
  zip.set(zip.end + 10, std::uint16_t{3});
  EXPECT_TRUE(contains(zip_complaint(zip), "has 2 entries, its end record says 3"));
  zip = zip_of(kZipParts);
  zip.set(zip.end + 16, std::uint32_t{7});
  EXPECT_TRUE(contains(zip_complaint(zip), "its directory should take bytes 7"));
  zip = zip_of({{"a", "1"}, {"a", "2"}});
  EXPECT_TRUE(contains(zip_complaint(zip), "two members are called 'a'"));
  zip = zip_of(kZipParts);
  zip.set(zip.central[0] + 8, std::uint16_t{1});
  EXPECT_TRUE(contains(zip_complaint(zip, ExitCode::unsupported), "member 'a/one' is encrypted"));
  zip = zip_of(kZipParts);
  zip.set(zip.end + 4, std::uint16_t{1});
  EXPECT_TRUE(contains(zip_complaint(zip, ExitCode::unsupported), "one volume of a zip archive"));
  zip = zip_of(kZipParts);
  zip.set(zip.central[1] + 24, ~std::uint32_t{0});
  EXPECT_TRUE(contains(zip_complaint(zip), "member 'a/two': its zip64 numbers are missing"));
}

TEST(ZipDirectoryTest, HoldsToItsLimit) {
  const std::string whole = zip_of(kZipParts).bytes;
  EXPECT_TRUE(contains(message_of(ExitCode::malformed, [&] { read_all(whole, 50); }),
                       "its directory takes 102 bytes (limit"));
  const TemporaryFolder folder;
  const InputFile file(folder.write("t.zip", whole));
  ZipDirectory zip(file, kMost);
  EXPECT_TRUE(contains(message_of(ExitCode::malformed, [&] { zip.read(*zip.find("a/two"), 99); }),
                       "member 'a/two' takes 100 bytes (limit"));
}

}  // namespace
}  // namespace deadray::test
