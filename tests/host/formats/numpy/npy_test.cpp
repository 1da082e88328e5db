#include "host/formats/numpy/npy.h"

#include "tests/support/errors.h"
#include "tests/support/safetensors_bytes.h"
#include "tests/support/temporary_folder.h"

namespace deadray::test {
namespace {

std::string npy(std::string_view header, std::string_view data, int version = 1) {
  const std::string length = version == 1 ? bytes_of(static_cast<std::uint16_t>(header.size()))
                                          : bytes_of(static_cast<std::uint32_t>(header.size()));
  return std::string("\x93NUMPY") + static_cast<char>(version) + '\0' + length +
         std::string(header) + std::string(data);
}

std::string dict(std::string_view descr, std::string_view shape, std::string_view order = "False") {
  return "{'descr': " + std::string(descr) + ", 'fortran_order': " + std::string(order) +
         ", 'shape': " + std::string(shape) + ", }          \n";
}

IntegerMatrix read_npy_bytes(const std::string& bytes) {
  const TemporaryFolder folder;
  return read_npy(folder.write("t.npy", bytes));
}

std::string npy_complaint(const std::string& bytes) {
  const std::string message = message_of(ExitCode::malformed, [&] { read_npy_bytes(bytes); });
  EXPECT_TRUE(contains(message, "t.npy: "));
  return message;
}

const std::string kSix = bytes_of(std::vector<std::int32_t>{1, -2, 3, 4, 5, 50256});

TEST(NpyTest, ReadsAllFormatVersionsAndBothWidths) {
  for (const int version : {1, 2, 3}) {
    const IntegerMatrix matrix = read_npy_bytes(npy(dict("'<i4'", "(2, 3)"), kSix, version));
    EXPECT_EQ(matrix.rows, 2);
    EXPECT_EQ(matrix.columns, 3);
    EXPECT_EQ(matrix.values, (std::vector<std::int64_t>{1, -2, 3, 4, 5, 50256}));
  }
  const IntegerMatrix wide = read_npy_bytes(npy(
      dict("\"<i8\"", "(1,2)"), bytes_of(std::vector<std::int64_t>{-1, std::int64_t{1} << 40})));
  EXPECT_EQ(wide.values, (std::vector<std::int64_t>{-1, std::int64_t{1} << 40}));
}

TEST(NpyTest, ReadsRankOneAsOneRow) {
  const IntegerMatrix matrix = read_npy_bytes(npy(dict("'<i4'", "(6,)"), kSix));
  EXPECT_EQ(matrix.rows, 1);
  EXPECT_EQ(matrix.columns, 6);
}

TEST(NpyTest, RejectsWhatIsNoNpyFile) {
  EXPECT_TRUE(contains(npy_complaint(""), "too short: 0 bytes, need at least 10"));
  EXPECT_TRUE(contains(npy_complaint("PK\x03\x04 an npz archive"),
                       "begins with 'PK\\x03\\x04 a', expected the magic of a NumPy .npy file"));
  EXPECT_TRUE(contains(npy_complaint(npy(dict("'<i4'", "(6,)"), kSix, 9)),
                       ".npy format 9.0, expected 1, 2 or 3"));
}

TEST(NpyTest, RejectsTruncationAndTrailingBytesWithBothCounts) {
  const std::string whole = npy(dict("'<i4'", "(2, 3)"), kSix);
  EXPECT_TRUE(contains(npy_complaint(whole.substr(0, whole.size() - 5)),
                       "19 bytes of data, expected 24 for shape (2, 3) of <i4: truncated"));
  EXPECT_TRUE(contains(npy_complaint(whole + "x"),
                       "25 bytes of data, expected 24 for shape (2, 3) of <i4: trailing bytes"));
  const std::string begun = whole.substr(0, 30);
  EXPECT_TRUE(contains(
      npy_complaint(begun),
      "truncated: header ends at byte " + std::to_string(whole.size() - 24) + ", file has 30"));
  EXPECT_TRUE(
      contains(npy_complaint(std::string("\x93NUMPY\x02\x00", 8) + bytes_of(~std::uint32_t{0})),
               "header of 4294967295 bytes"));
}

TEST(NpyTest, NamesOtherTypesOrdersAndRanks) {
  EXPECT_TRUE(contains(npy_complaint(npy(dict("'<f4'", "(2, 3)"), kSix)),
                       "dtype '<f4', expected '<i4' or '<i8'"));
  EXPECT_TRUE(contains(npy_complaint(npy(dict("'>i4'", "(2, 3)"), kSix)), "dtype '>i4'"));
  EXPECT_TRUE(contains(npy_complaint(npy(dict("[('a', '<i4'), ('b', '<i4', (2,))]", "(2,)"), kSix)),
                       "dtype '[('a', '<i4'), ('b', '<i4', (2,))]'"));
  EXPECT_TRUE(contains(npy_complaint(npy(dict("'<i4'", "(2, 3)", "True"), kSix)), "Fortran order"));
  EXPECT_TRUE(contains(npy_complaint(npy(dict("'<i4'", "()"), kSix)), "shape () of rank 0"));
  EXPECT_TRUE(
      contains(npy_complaint(npy(dict("'<i4'", "(1, 2, 3)"), kSix)), "shape (1, 2, 3) of rank 3"));
  EXPECT_TRUE(
      contains(npy_complaint(npy(dict("'<i4'", "(0, 3)"), "")), "shape (0, 3) holds no elements"));
  EXPECT_TRUE(
      contains(npy_complaint(npy(dict("'<i8'", "(4611686018427387904, 4)"), kSix)), "overflows"));
}

TEST(NpyTest, RejectsABrokenHeader) {
  EXPECT_TRUE(contains(npy_complaint(npy("", "")), "header has '' at character 0, expected '{'"));
  EXPECT_TRUE(contains(npy_complaint(npy("{'descr': '<i4', 'fortran_order': 0}", "")),
                       "expected True or False"));
  EXPECT_TRUE(contains(npy_complaint(npy("{'descr': '<i4", "")), "expected the end of a string"));
  EXPECT_TRUE(contains(npy_complaint(npy("{'descr': [('a", "")), "expected ']'"));
  EXPECT_TRUE(contains(npy_complaint(npy(dict("'<i4'", "(-2, 3)"), kSix)),
                       "expected a non-negative integer"));
  EXPECT_TRUE(contains(npy_complaint(npy("{'shape': (2, 3)}", "")), "header lacks key 'descr'"));
  EXPECT_TRUE(contains(npy_complaint(npy("{'colour': 'red'}", "")), "key 'colour'"));
}

}  // namespace
}  // namespace deadray::test
