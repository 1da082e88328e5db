#include "host/formats/safetensors.h"

#include <algorithm>

#include "tests/support/errors.h"
#include "tests/support/safetensors_bytes.h"
#include "tests/support/temporary_folder.h"

namespace deadray::test {
namespace {

ContainerHeader read_bytes(const std::string& bytes, const CheckpointOptions& options = {}) {
  const TemporaryFolder folder;
  return read_safetensors_header(InputFile(folder.write("m.safetensors", bytes)), options);
}

/// The message about a file with these bytes; it must name the file.
std::string complaint(const std::string& bytes, ExitCode code = ExitCode::malformed,
                      const CheckpointOptions& options = {}) {
  const std::string message = message_of(code, [&] { read_bytes(bytes, options); });
  EXPECT_TRUE(contains(message, "m.safetensors: "));
  return message;
}

std::string entry(std::string_view name, std::string_view dtype, std::string_view shape,
                  std::string_view offsets) {
  return "\"" + std::string(name) + "\":{\"dtype\":\"" + std::string(dtype) +
         "\",\"shape\":" + std::string(shape) + ",\"data_offsets\":" + std::string(offsets) + "}";
}

TEST(SafetensorsTest, ReadsNamesShapesOffsetsAndMetadata) {
  const std::string json =
      "{\"__metadata__\":{\"format\":\"pt\"}," + entry("b", "BF16", "[2,3]", "[8,20]") + "," +
      entry("a", "F64", "[]", "[0,8]") + "," + entry("void", "F32", "[0,7]", "[20,20]") + "}   ";
  const ContainerHeader header = read_bytes(safetensors(json, std::string(20, 'x')), {});
  ASSERT_EQ(header.tensors.size(), 3u);
  EXPECT_EQ(header.tensors[0].name, "a");
  EXPECT_EQ(header.tensors[0].dtype, DType::f64);
  EXPECT_EQ(header.tensors[0].elements(), 1);
  EXPECT_EQ(header.tensors[0].offset, 8 + json.size());
  EXPECT_EQ(header.tensors[1].shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(header.tensors[1].offset, 8 + json.size() + 8);
  EXPECT_EQ(header.tensors[1].bytes, 12u);
  EXPECT_EQ(header.tensors[2].elements(), 0);
  EXPECT_EQ(header.metadata.at("format"), "pt");
  EXPECT_EQ(header.bytes, 8 + json.size());
  EXPECT_TRUE(header.notes.empty());
}

TEST(SafetensorsTest, RejectsAnEmptyFile) {
  EXPECT_TRUE(
      contains(complaint(""), "too short: 0 bytes, need at least 8 (interrupted download?)"));
}

TEST(SafetensorsTest, RejectsSevenBytes) {
  EXPECT_TRUE(contains(complaint("1234567"), "too short: 7 bytes, need at least 8"));
}

TEST(SafetensorsTest, RejectsALengthAlone) {
  EXPECT_TRUE(contains(complaint(bytes_of(std::uint64_t{100})), "too short: 8 bytes"));
}

TEST(SafetensorsTest, RejectsAHeaderThatEndsPastTheFile) {
  EXPECT_TRUE(contains(complaint(bytes_of(std::uint64_t{1000}) + "garbage"),
                       "header says 1000 bytes, file has 15: truncated"));
}

TEST(SafetensorsTest, RejectsAHeaderBeyondTheLimit) {
  EXPECT_TRUE(contains(complaint(bytes_of(std::uint64_t{100'000'001}) + "x"),
                       "header too large: 100000001 bytes (limit 100 MB; --max-header to raise)"));
  EXPECT_TRUE(contains(complaint(bytes_of(~std::uint64_t{0}) + "x"),
                       "header too large: 18446744073709551615 bytes"));
  CheckpointOptions small;
  small.max_header_bytes = 10;
  EXPECT_TRUE(contains(complaint(one_tensor("a"), ExitCode::malformed, small), "header too large"));
}

TEST(SafetensorsTest, RecognisesAGitLfsPointer) {
  EXPECT_TRUE(
      contains(complaint("version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12\n"),
               "is a git-LFS pointer, not weights: fetch the real file"));
}

TEST(SafetensorsTest, RecognisesAWebPage) {
  EXPECT_TRUE(contains(complaint("\n<!DOCTYPE html><html>Sign in</html>"), "web page"));
  EXPECT_TRUE(contains(
      complaint("Access to this model is restricted.\n"),
      "is a text of 36 bytes that begins 'Access to this model is restricted.\\x0a', not weights"));
  EXPECT_TRUE(contains(complaint("{\"error\":\"Access to model is restricted\"}"), "JSON text"));
}

TEST(SafetensorsTest, RecognisesAPickleOfSomethingElse) {
  EXPECT_TRUE(contains(complaint("\x80\x04\x95 a list", ExitCode::unsupported),
                       "is a Python pickle that torch.save() did not write"));
}

TEST(SafetensorsTest, NamesTheByteThatIsNotUtf8) {
  EXPECT_TRUE(contains(complaint(safetensors("{\"a\xff\":1}")), "not UTF-8 at byte 11 (0xff)"));
  EXPECT_TRUE(contains(complaint(safetensors("{\"\xc3\":1}")), "not UTF-8 at byte 10 (0xc3)"));
}

TEST(SafetensorsTest, NamesThePlaceThatIsNotJson) {
  const std::string message = complaint(safetensors("{\n  \"a\": nonsense}"));
  // The character after the 'n' that began a null.
  EXPECT_TRUE(contains(message, "not JSON at line 2, column 9 (byte 18): "));
  EXPECT_TRUE(contains(complaint(safetensors("{\"a\":")), "not JSON at line 1, column 6"));
  EXPECT_TRUE(contains(complaint(safetensors("{} x")), "not JSON at line 1, column 4"));
  EXPECT_LT(complaint(safetensors("{\"" + std::string(100'000, 'k'))).size(), 600u)
      << "a message is one readable line";
}

TEST(SafetensorsTest, RejectsWhatIsNoObject) {
  EXPECT_TRUE(contains(complaint(safetensors("[1,2]")),
                       "header begins with '[1,2]', expected a JSON object"));
  EXPECT_TRUE(contains(complaint(safetensors(" {}")), "header begins with ' {}'"));
  EXPECT_TRUE(contains(complaint(safetensors("") + "data"), "header begins with ''"));
}

TEST(SafetensorsTest, LimitsNesting) {
  const std::string bomb = "{\"a\":{\"x\":" + std::string(1'000'000, '[');
  EXPECT_TRUE(contains(complaint(safetensors(bomb)), "tensor 'a': nested deeper than 16 levels"));
}

TEST(SafetensorsTest, ReadsAMillionTensorsInDisorder) {
  // Whatever compared each with each would take 10^12 steps: hours, where sorting takes a second or
  // two.
  constexpr int kTensors = 1'000'000;
  std::string json = "{";
  for (int i = 0; i < kTensors; ++i) {
    const std::string name = std::to_string(i * 7919LL % kTensors),
                      at = std::to_string(i);  // 7919 is prime: every name once
    json += (i ? "," : "") + entry(name, "I8", "[1]", "[" + at + "," + std::to_string(i + 1) + "]");
  }
  const TemporaryFolder folder;
  const fs::path file =
      folder.write("m.safetensors", safetensors(json + "}", std::string(kTensors, '\0')));
  const ContainerHeader header = read_safetensors_header(InputFile(file));
  ASSERT_EQ(header.tensors.size(), static_cast<std::size_t>(kTensors));
  const auto by_name = [](const TensorInfo& a, const TensorInfo& b) { return a.name < b.name; };
  EXPECT_TRUE(std::is_sorted(header.tensors.begin(), header.tensors.end(), by_name));
}

TEST(SafetensorsTest, NamesADuplicateKey) {
  EXPECT_TRUE(contains(complaint(safetensors("{" + entry("k", "I8", "[1]", "[0,1]") + "," +
                                                 entry("k", "I8", "[1]", "[0,1]") + "}",
                                             "x")),
                       "duplicate key 'k'"));
  EXPECT_TRUE(contains(complaint(safetensors("{\"k\":{\"dtype\":\"I8\",\"dtype\":\"I8\"}}")),
                       "tensor 'k': duplicate field 'dtype'"));
  EXPECT_TRUE(contains(complaint(safetensors("{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}")),
                       "__metadata__: duplicate key 'a'"));
  EXPECT_TRUE(contains(complaint(safetensors("{\"__metadata__\":{},\"__metadata__\":{}}")),
                       "duplicate key '__metadata__'"));
}

TEST(SafetensorsTest, NamesAMissingField) {
  EXPECT_TRUE(contains(complaint(safetensors(R"({"k":{"shape":[],"data_offsets":[0,1]}})", "x")),
                       "tensor 'k': field 'dtype' is missing"));
  EXPECT_TRUE(contains(complaint(safetensors(R"({"k":{"dtype":"I8","data_offsets":[0,1]}})", "x")),
                       "tensor 'k': field 'shape' is missing"));
  EXPECT_TRUE(contains(complaint(safetensors(R"({"k":{"dtype":"I8","shape":[]}})")),
                       "tensor 'k': field 'data_offsets' is missing"));
}

TEST(SafetensorsTest, NamesAFieldOfTheWrongType) {
  const auto with = [](std::string_view fields) {
    return complaint(safetensors("{\"k\":" + std::string(fields) + "}", "1234"));
  };
  EXPECT_TRUE(contains(with("17"),
                       "tensor 'k': is 17, expected an object with dtype, shape and data_offsets"));
  EXPECT_TRUE(contains(with("null"), "tensor 'k': is null"));
  EXPECT_TRUE(contains(with("[]"), "tensor 'k': is an array"));
  EXPECT_TRUE(
      contains(with(R"({"dtype":5})"), "tensor 'k': field 'dtype' is 5, expected a string"));
  EXPECT_TRUE(
      contains(with(R"({"dtype":["F32"]})"), "field 'dtype' is an array, expected a string"));
  EXPECT_TRUE(
      contains(with(R"({"shape":"x"})"),
               "tensor 'k': field 'shape' is 'x', expected a list of non-negative integers"));
  EXPECT_TRUE(contains(with(R"({"shape":{}})"), "field 'shape' is an object"));
  EXPECT_TRUE(
      contains(with(R"({"shape":[-1]})"),
               "tensor 'k': field 'shape' holds -1, expected a list of non-negative integers"));
  EXPECT_TRUE(contains(with(R"({"shape":[1e3]})"), "field 'shape' holds 1e3"));
  EXPECT_TRUE(contains(with(R"({"shape":[2.0]})"), "field 'shape' holds 2.0"));
  EXPECT_TRUE(contains(with(R"({"shape":[[2]]})"), "field 'shape' holds an array"));
  EXPECT_TRUE(
      contains(with(R"({"data_offsets":4})"), "field 'data_offsets' is 4, expected [begin, end]"));
  EXPECT_TRUE(contains(with(R"({"data_offsets":[0]})"), "field 'data_offsets' is 1 numbers"));
  EXPECT_TRUE(
      contains(with(R"({"data_offsets":[0,1,2]})"), "field 'data_offsets' holds a third number"));
  EXPECT_TRUE(contains(with(R"({"data_offsets":[0,99999999999999999999]})"),
                       "field 'data_offsets' holds 99999999999999999999"));
  EXPECT_TRUE(contains(complaint(safetensors(R"({"__metadata__":{"n":3}})")),
                       "__metadata__: key 'n' is 3, expected a string"));
  EXPECT_TRUE(contains(complaint(safetensors(R"({"__metadata__":"x"})")),
                       "__metadata__: is 'x', expected an object"));
}

TEST(SafetensorsTest, SkipsFieldsThatTheFormatDoesNotDefine) {
  const ContainerHeader header = read_bytes(safetensors(
      R"({"k":{"note":{"a":[1,{"b":null}],"c":2.5},
      "dtype":"I8","shape":[1],"data_offsets":[0,1]}})",
      "x"));
  EXPECT_EQ(header.tensors.at(0).elements(), 1);
}

TEST(SafetensorsTest, KeepsATensorOfUnknownDtype) {
  const ContainerHeader header =
      read_bytes(safetensors("{" + entry("k", "F4_X", "[3]", "[0,2]") + "}", "xy"));
  EXPECT_EQ(header.tensors.at(0).dtype, DType::unknown);
  EXPECT_EQ(header.tensors.at(0).stored_dtype, "F4_X");
}

TEST(SafetensorsTest, RejectsOffsetsThatEndBeforeTheyBegin) {
  EXPECT_TRUE(contains(complaint(safetensors("{" + entry("k", "I8", "[1]", "[3,2]") + "}", "xxxx")),
                       "tensor 'k': field 'data_offsets' begins at 3 and ends before, at 2"));
}

TEST(SafetensorsTest, RejectsOffsetsPastEndOfFile) {
  EXPECT_TRUE(
      contains(complaint(safetensors("{" + entry("k", "F32", "[2]", "[0,8]") + "}", "xxxx")),
               "tensor 'k': its data end at byte 8 of the data, the file has 4"));
}

TEST(SafetensorsTest, RejectsOverlap) {
  const std::string json =
      "{" + entry("a", "I8", "[3]", "[0,3]") + "," + entry("b", "I8", "[2]", "[2,4]") + "}";
  EXPECT_TRUE(contains(
      complaint(safetensors(json, "xxxx")),
      "tensor 'b': begins at byte 2 of the data and overlaps tensor 'a', which ends at 3"));
}

TEST(SafetensorsTest, RejectsAHole) {
  const std::string json =
      "{" + entry("a", "I8", "[1]", "[0,1]") + "," + entry("b", "I8", "[1]", "[3,4]") + "}";
  EXPECT_TRUE(contains(complaint(safetensors(json, "xxxx")),
                       "tensor 'b': begins at byte 3 of the data, expected 1: a hole of 2 bytes"));
}

TEST(SafetensorsTest, NotesTrailingBytesUnlessStrict) {
  const std::string bytes = one_tensor("a") + "junk";
  const ContainerHeader header = read_bytes(bytes);
  ASSERT_EQ(header.notes.size(), 1u);
  EXPECT_TRUE(contains(header.notes[0], "4 bytes after the last tensor"));
  CheckpointOptions strict;
  strict.strict = true;
  EXPECT_TRUE(
      contains(complaint(bytes, ExitCode::malformed, strict), "4 bytes after the last tensor"));
}

TEST(SafetensorsTest, RejectsAShapeThatOverflows) {
  EXPECT_TRUE(contains(
      complaint(safetensors("{" + entry("k", "I8", "[4611686018427387904,4]", "[0,0]") + "}")),
      "tensor 'k': shape [4611686018427387904,4…] overflows"));
  EXPECT_TRUE(contains(
      complaint(safetensors("{" + entry("k", "I8", "[18446744073709551615]", "[0,0]") + "}")),
      "overflows"));
  EXPECT_TRUE(contains(
      complaint(safetensors("{" + entry("k", "F64", "[4611686018427387904]", "[0,0]") + "}")),
      "takes more than 2^64"));
}

TEST(SafetensorsTest, RejectsBytesThatDisagreeWithTheShape) {
  EXPECT_TRUE(
      contains(complaint(safetensors("{" + entry("k", "F32", "[3]", "[0,4]") + "}", "xxxx")),
               "tensor 'k': data_offsets span 4 bytes, but shape [3] of F32 takes 12"));
}

TEST(SafetensorsTest, ShowsAHostileNameOnOneShortLine) {
  const std::string message =
      complaint(safetensors("{\"a\\nb\\u001b[31m" + std::string(10'000, 'x') + "\":1}"));
  EXPECT_TRUE(contains(message, "a\\x0ab\\x1b[31m"));
  EXPECT_LT(message.size(), 400u);
}

}  // namespace
}  // namespace deadray::test
