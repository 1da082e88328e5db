#include "host/formats/gguf/gguf.h"

#include <algorithm>
#include <limits>

#include "host/formats/checkpoint.h"
#include "tests/support/errors.h"
#include "tests/support/gguf_bytes.h"
#include "tests/support/temporary_folder.h"

namespace deadray::test {
namespace {

constexpr std::uint32_t kF32 = 0, kQ4K = 12, kUint32 = 4, kInt32 = 5, kFloat32 = 6, kBool = 7,
                        kString = 8, kArray = 9;

ContainerHeader read_gguf(const std::string& bytes, const CheckpointOptions& options = {}) {
  const TemporaryFolder folder;
  const InputFile file(folder.write("m.gguf", bytes));
  EXPECT_TRUE(looks_like_gguf(file));
  return read_gguf_header(file, options, 0);
}

/// The message about a file with these bytes; it must name the file.
std::string gguf_complaint(const std::string& bytes, ExitCode code = ExitCode::malformed,
                           const CheckpointOptions& options = {}) {
  const std::string message = message_of(code, [&] { read_gguf(bytes, options); });
  EXPECT_TRUE(contains(message, "m.gguf: "));
  return message;
}

std::string complaint_about_key(const std::string& key, ExitCode code = ExitCode::malformed) {
  return gguf_complaint(GgufFile{.keys = {key}}.bytes(), code);
}

std::string complaint_about_tensor(const std::string& tensor, std::uint64_t data_bytes = 0,
                                   ExitCode code = ExitCode::malformed) {
  return gguf_complaint(GgufFile{.tensors = {tensor}, .data_bytes = data_bytes}.bytes(), code);
}

/// One vector of 8 float32 and a key of each shape.
GgufFile sound_file() {
  return {.keys = {gguf_string_key("general.architecture", "llama"),
                   gguf_key("llama.block_count", kUint32, std::uint32_t{2}),
                   gguf_key("general.alignment", kUint32, std::uint32_t{64}),
                   gguf_array_key("langs", kString, 2, gguf_text("en") + gguf_text("de")),
                   gguf_array_key("numbers", kInt32, 2, std::string(8, '\1'))},
          .tensors = {gguf_tensor("output_norm.weight", {8}, kF32, 64),
                      gguf_tensor("blk.0.ffn_up.weight", {4, 3}, kF32, 0)},
          .data_bytes = 64 + 32,
          .alignment = 64};
}

// --- what is there -------------------------------------------------------------------------------

TEST(GgufTest, ReadsKeysOfEveryTypeAsJson) {
  const Checkpoint checkpoint = Checkpoint::open(DEADRAY_FIXTURES "/gguf/types.gguf");
  EXPECT_EQ(checkpoint.format(), ContainerFormat::gguf);
  EXPECT_TRUE(checkpoint.notes().empty());
  const std::map<std::string, std::string> expected{
      {"general.architecture", "\"llama\""},
      {"general.alignment", "64"},
      {"a.uint8", "255"},
      {"a.int8", "-128"},
      {"a.uint16", "65535"},
      {"a.int16", "-32768"},
      {"a.uint32", "4294967295"},
      {"a.int32", "-2147483648"},
      {"a.uint64", "18446744073709551615"},
      {"a.int64", "-9223372036854775808"},
      {"a.float32", "1e-05"},
      {"a.whole", "10000.0"},
      {"a.infinity", "\"Infinity\""},
      {"a.float64", "0.1"},
      {"a.true", "true"},
      {"a.false", "false"},
      {"a.string", R"("quote \" and line\nand ümlaut")"},
      {"a.numbers", "[1,-2,3]"},
      {"a.floats", "[0.5,1e-06]"},
      {"a.booleans", "[true,false]"},
      {"a.strings", R"(["en","","de"])"},
      {"a.vocabulary", "{\"count\":4097}"},
      {"a.scores", "{\"count\":4097}"},
  };
  EXPECT_EQ(checkpoint.metadata(), expected);
}

TEST(GgufTest, ReadsPlainTensorsInRowMajorOrder) {
  const Checkpoint checkpoint = Checkpoint::open(DEADRAY_FIXTURES "/gguf/types.gguf");
  const Checkpoint decoded = Checkpoint::open(DEADRAY_FIXTURES "/gguf/decoded.safetensors");
  const std::vector<double> values = decoded.read_fp64(decoded.at("values"));
  EXPECT_EQ(checkpoint.at("F64").shape, (std::vector<std::int64_t>{2, 3, 5}));
  EXPECT_EQ(checkpoint.read_fp64(checkpoint.at("F64")), values);
  std::vector<double> rounded;
  for (const double value : values) rounded.push_back(static_cast<float>(value));
  EXPECT_EQ(checkpoint.read_fp64(checkpoint.at("F32")), rounded);
  for (const auto& [name, ulp] : {std::pair{"F16", 0x1p-10}, {"BF16", 0x1p-7}}) {
    // Rounded or cut off: within one unit in the last place.
    const TensorInfo& tensor = checkpoint.at(name);
    const std::vector<double> read = checkpoint.read_fp64(tensor);
    for (std::size_t i = 0; i < read.size(); ++i)
      EXPECT_NEAR(read[i], values[i], ulp * std::abs(values[i])) << name;
  }
  for (const char* name : {"I8", "I16", "I32", "I64"}) {
    const TensorInfo& tensor = checkpoint.at(name);
    EXPECT_EQ(to_string(tensor.dtype), name);
    std::int64_t last = 0;  // little-endian and positive: the upper bytes stay 0
    checkpoint.read(tensor, 6, 1, &last);
    EXPECT_EQ(last, 3) << name;
  }
}

TEST(GgufTest, ReadsVersionTwoAsVersionThree) {
  GgufFile file = sound_file();
  file.version = 2;
  const ContainerHeader header = read_gguf(file.bytes());
  ASSERT_EQ(header.tensors.size(), 2u);
  EXPECT_EQ(header.tensors[0].name, "blk.0.ffn_up.weight");
  EXPECT_EQ(header.tensors[0].shape, (std::vector<std::int64_t>{3, 4}));
  EXPECT_EQ(header.tensors[1].offset, header.tensors[0].offset + 64);
  EXPECT_EQ(header.tensors[1].offset % 64, 0u);
  EXPECT_EQ(header.tensors[1].bytes, 32u);
  EXPECT_LE(header.bytes, header.tensors[0].offset);
  EXPECT_TRUE(header.notes.empty());
}

TEST(GgufTest, ReadsAFileOfKeysAlone) {
  GgufFile file = sound_file();
  file.tensors.clear();
  file.data_bytes = 0;
  EXPECT_TRUE(read_gguf(file.bytes()).tensors.empty());
}

TEST(GgufTest, ReplacesWhatIsNoUtf8InValues) {
  const ContainerHeader header =
      read_gguf(GgufFile{.keys = {gguf_string_key("k", "a\xff")}}.bytes());
  EXPECT_EQ(header.metadata.at("k"), "\"a\xEF\xBF\xBD\"");
}

TEST(GgufTest, TellsBytesThatBelongToNoTensor) {
  GgufFile file = sound_file();
  file.data_bytes += 64;  // 32 of them fill up the last tensor's 64
  const ContainerHeader header = read_gguf(file.bytes());
  ASSERT_EQ(header.notes.size(), 1u);
  EXPECT_TRUE(contains(header.notes[0], "32 bytes of data belong to no tensor"));
  CheckpointOptions strict;
  strict.strict = true;
  gguf_complaint(file.bytes(), ExitCode::malformed, strict);
}

TEST(GgufTest, ReadsAVocabularyThatSpansManyPieces) {
  std::string tokens;
  constexpr std::uint64_t kTokens = 200'000;
  for (std::uint64_t i = 0; i < kTokens; ++i) tokens += gguf_text(std::string(i % 7, 't'));
  GgufFile file = sound_file();
  file.keys.push_back(gguf_array_key("tokens", kString, kTokens, tokens));
  file.keys.push_back(gguf_string_key("template", std::string(1'000'000, 'x')));
  file.keys.push_back(gguf_key("last", kUint32, std::uint32_t{7}));
  const ContainerHeader header = read_gguf(file.bytes());
  EXPECT_EQ(header.metadata.at("tokens"), "{\"count\":200000}");
  EXPECT_EQ(header.metadata.at("template").size(), 1'000'002u);
  EXPECT_EQ(header.metadata.at("last"), "7");
  EXPECT_EQ(header.tensors.size(), 2u);
}

// --- another format ------------------------------------------------------------------------------

TEST(GgufTest, NamesTheFormatsBeforeGguf) {
  for (const auto& [magic, name] : {std::pair{"GGJT", "GGJT"},
                                    {"tjgg", "GGJT"},
                                    {"GGML", "GGML"},
                                    {"lmgg", "GGML"},
                                    {"fmgg", "GGMF"},
                                    {"algg", "GGLA"}})
    EXPECT_TRUE(contains(gguf_complaint(magic + std::string(40, '\1'), ExitCode::unsupported),
                         std::string("is a ") + name));
}

TEST(GgufTest, NamesBigEndianFiles) {
  EXPECT_TRUE(contains(gguf_complaint("FUGG" + std::string(40, '\0'), ExitCode::unsupported),
                       "big-endian"));
  GgufFile file = sound_file();
  file.version = 0x03000000;
  EXPECT_TRUE(contains(gguf_complaint(file.bytes(), ExitCode::unsupported), "big-endian"));
}

TEST(GgufTest, RefusesOtherVersions) {
  for (const std::uint32_t version : {0u, 1u, 4u, 0xffffffffu}) {
    GgufFile file = sound_file();
    file.version = version;
    EXPECT_TRUE(contains(gguf_complaint(file.bytes(), ExitCode::unsupported),
                         "GGUF version " + std::to_string(version) + ", deadray reads 2 and 3"));
  }
}

TEST(GgufTest, TakesNoOtherFileForGguf) {
  const TemporaryFolder folder;
  for (const char* bytes : {"", "GGU", "GGUX and so on", "\x93NUMPY"})
    EXPECT_FALSE(looks_like_gguf(InputFile(folder.write("x", bytes)))) << bytes;
  message_of(ExitCode::malformed,
             [&] { read_gguf_header(InputFile(folder.write("x", "GGUX and so on")), {}, 0); });
}

// --- damaged heads -------------------------------------------------------------------------------

TEST(GgufTest, RefusesCountsThatTheFileCannotHold) {
  for (const std::int64_t count :
       {std::int64_t{1} << 40, std::numeric_limits<std::int64_t>::min(), std::int64_t{1000}}) {
    GgufFile file = sound_file();
    const std::string number = std::to_string(count);
    std::string bytes = file.bytes();
    bytes.replace(8, 8, bytes_of(count));
    EXPECT_TRUE(
        contains(gguf_complaint(bytes), "header: byte 24: " + number + " tensors do not fit"));
    bytes = file.bytes();
    bytes.replace(16, 8, bytes_of(count));
    EXPECT_TRUE(contains(gguf_complaint(bytes), "header: byte 24: " + number + " keys do not fit"));
  }
}

TEST(GgufTest, RefusesStringsBeyondTheFile) {
  for (const std::uint64_t length :
       {std::uint64_t{100}, std::uint64_t{1} << 40, ~std::uint64_t{0}}) {
    const std::string text = bytes_of(length) + "and forty more bytes, fewer than it says";
    const std::string message =
        complaint_about_key(gguf_text("general.name") + bytes_of(kString) + text);
    EXPECT_TRUE(contains(message, "key 'general.name': byte 56: "));
    EXPECT_TRUE(contains(message, " bytes of text do not fit into the file, which has 96 bytes"));
    EXPECT_TRUE(contains(complaint_about_key(text), "key 1 of 1: byte 32: "));
    EXPECT_TRUE(contains(complaint_about_tensor(text), "tensor 1 of 1: byte 32: "));
  }
}

TEST(GgufTest, RefusesArraysBeyondTheFile) {
  for (const std::uint64_t count : {std::uint64_t{3}, std::uint64_t{1} << 62, ~std::uint64_t{0}}) {
    EXPECT_TRUE(contains(complaint_about_key(gguf_array_key("a", kInt32, count, "12345678")),
                         "key 'a': byte 49: "));
    EXPECT_TRUE(contains(complaint_about_key(gguf_array_key("a", kString, count, gguf_text(""))),
                         "elements of an array of string do not fit"));
  }
  std::string tokens;
  for (int i = 0; i < 5000; ++i) tokens += gguf_text("t");
  tokens.replace(9 * 4000, 8, bytes_of(~std::uint64_t{0}));
  EXPECT_TRUE(contains(complaint_about_key(gguf_array_key("tokens", kString, 5000, tokens)),
                       "key 'tokens': byte 36062: -1 bytes of text do not fit"));
}

TEST(GgufTest, RefusesNestedArraysAndUnknownTypes) {
  EXPECT_TRUE(contains(complaint_about_key(gguf_array_key("a", kArray, 1, std::string(20, '\0'))),
                       "key 'a': byte 41: an array of arrays"));
  EXPECT_TRUE(contains(complaint_about_key(gguf_key("a", 13, std::uint64_t{0})),
                       "key 'a': byte 37: value type 13, expected 0 to 12"));
  EXPECT_TRUE(contains(complaint_about_key(gguf_array_key("a", 0xffffffff, 1, "12345678")),
                       "value type 4294967295"));
  EXPECT_TRUE(contains(complaint_about_key(gguf_key("a", kBool, std::uint16_t{2})),
                       "a boolean that is 2, expected 0 or 1"));
}

TEST(GgufTest, RefusesNamesThatAreEmptyTwiceOrNoText) {
  const std::string key = gguf_key("twice", kUint32, std::uint32_t{1});
  EXPECT_TRUE(contains(gguf_complaint(GgufFile{.keys = {key, key}}.bytes()),
                       "key 'twice': byte 58: the key is there twice"));
  EXPECT_TRUE(contains(complaint_about_key(gguf_key("", kUint32, std::uint64_t{1})),
                       "key 1 of 1: byte 32: an empty name"));
  EXPECT_TRUE(contains(complaint_about_key(gguf_key("a\xc0", kUint32, std::uint32_t{1})),
                       "is not UTF-8 at its byte 1"));
  EXPECT_TRUE(contains(complaint_about_key(gguf_key(std::string(65536, 'k'), kUint32, 1)),
                       "a name of 65536 bytes, expected at most 65535"));
  EXPECT_TRUE(contains(complaint_about_tensor(gguf_tensor("", {8, 8}, kF32, 0), 256),
                       "tensor 1 of 1: byte 32: an empty name"));
  EXPECT_TRUE(contains(gguf_complaint(GgufFile{.tensors = {gguf_tensor("t", {8}, kF32, 0),
                                                           gguf_tensor("t", {8}, kF32, 32)},
                                               .data_bytes = 64}
                                          .bytes()),
                       "tensor 't' is there twice"));
}

TEST(GgufTest, RefusesImpossibleAlignments) {
  for (const std::uint32_t alignment : {0u, 13u, 1u << 31})
    EXPECT_TRUE(contains(complaint_about_key(gguf_key("general.alignment", kUint32, alignment)),
                         "key 'general.alignment': byte 57: alignment " +
                             std::to_string(alignment) + ", expected a power of two"));
  EXPECT_TRUE(contains(complaint_about_key(gguf_key("general.alignment", kFloat32, 32.0f)),
                       "is of type float32, expected uint32"));
  EXPECT_TRUE(contains(complaint_about_key(gguf_string_key("general.alignment", "32")),
                       "is of type string, expected uint32"));
}

TEST(GgufTest, RefusesAHeadBeyondTheLimit) {
  CheckpointOptions options;
  options.max_header_bytes = 100;
  EXPECT_TRUE(contains(gguf_complaint(sound_file().bytes(), ExitCode::malformed, options),
                       "longer than 0.0001 MB (--max-header to raise)"));
}

// --- damaged tensors -----------------------------------------------------------------------------

TEST(GgufTest, RefusesImpossibleShapes) {
  EXPECT_TRUE(contains(complaint_about_tensor(gguf_tensor("t", {1, 1, 1, 1, 1}, kF32, 0), 32),
                       "tensor 't': byte 37: 5 dimensions, expected at most 4"));
  EXPECT_TRUE(contains(complaint_about_tensor(gguf_tensor("t", {8, -1}, kF32, 0), 32),
                       "tensor 't': byte 53: a dimension of -1"));
  constexpr std::int64_t kHuge = std::int64_t{1} << 40;
  EXPECT_TRUE(contains(complaint_about_tensor(gguf_tensor("t", {kHuge, kHuge}, kF32, 0), 32),
                       "of F32 overflows"));
  EXPECT_TRUE(
      contains(complaint_about_tensor(
                   gguf_tensor("t", {std::numeric_limits<std::int64_t>::max()}, kF32, 0), 32),
               "of F32 overflows"));
  EXPECT_TRUE(
      contains(complaint_about_tensor(gguf_tensor("t", {std::int64_t{1} << 61}, kF32, 0), 32),
               "truncated, or the first of several pieces"));
}

TEST(GgufTest, RefusesUnknownTypesAndPartsOfBlocks) {
  for (const std::uint32_t type : {4u, 31u, 99u, 0xffffffffu})
    EXPECT_TRUE(
        contains(complaint_about_tensor(gguf_tensor("t", {8}, type, 0), 32, ExitCode::unsupported),
                 "tensor 't': byte 45: element type " + std::to_string(type)));
  EXPECT_TRUE(contains(complaint_about_tensor(gguf_tensor("norm.weight", {300, 2}, kQ4K, 0), 999),
                       "rows of 300 elements, expected whole blocks of 256 (Q4_K)"));
  EXPECT_TRUE(contains(complaint_about_tensor(gguf_tensor("scalar", {}, kQ4K, 0), 999),
                       "rows of 1 elements, expected whole blocks of 256 (Q4_K)"));
}

TEST(GgufTest, RefusesTensorsOutsideTheFileOrOverEachOther) {
  EXPECT_TRUE(contains(complaint_about_tensor(gguf_tensor("t", {9}, kF32, 0), 32),
                       "tensor 't': 36 bytes from byte 0 of the data on, file has 32: truncated, "
                       "or the first of several pieces: join them"));
  EXPECT_TRUE(contains(complaint_about_tensor(gguf_tensor("t", {1}, kF32, ~std::uint64_t{31}), 32),
                       "from byte 18446744073709551584 of the data on, file has 32"));
  EXPECT_TRUE(contains(complaint_about_tensor(gguf_tensor("t", {1}, kF32, 4), 32),
                       "begins at byte 4 of the data, expected a multiple of 32"));
  EXPECT_TRUE(
      contains(gguf_complaint(GgufFile{
                   .tensors = {gguf_tensor("a", {16}, kF32, 0), gguf_tensor("b", {8}, kF32, 32)},
                   .data_bytes = 64}
                                  .bytes()),
               "tensor 'b': begins at byte 128 and overlaps tensor 'a', which ends at 160"));
}

/// A cut file is refused wherever it is cut: in a length, a name, a value, the data. Where the
/// magic itself is cut nothing is left to tell it by.
void expect_errors_of_all_prefixes(const std::string& bytes) {
  const TemporaryFolder folder;
  const fs::path file = folder.write("m.gguf", bytes);
  for (std::size_t length = bytes.size(); length-- > 0;) {
    fs::resize_file(file, length);
    try {
      read_gguf_header(InputFile(file), {}, 0);
      ADD_FAILURE() << length << " of " << bytes.size() << " bytes are taken";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::malformed) << length << ": " << error.what();
    }
  }
}

TEST(GgufTest, RefusesAFileCutAnywhere) {
  expect_errors_of_all_prefixes(sound_file().bytes());
  expect_errors_of_all_prefixes(read_text(DEADRAY_FIXTURES "/gguf/split-00001-of-00003.gguf"));
}

TEST(GgufTest, AnswersOrComplainsWhateverByteIsChanged) {
  const std::string sound = sound_file().bytes();
  const TemporaryFolder folder;
  const fs::path path = folder.write("m.gguf", sound);
  std::fstream stream(path, std::ios::binary | std::ios::in | std::ios::out);
  const auto change = [&](std::size_t at, char value) {
    stream.seekp(static_cast<std::streamoff>(at)).put(value).flush();
  };
  int refused = 0;
  for (std::size_t at = 0; at < sound.size(); ++at) {
    for (const char value : {'\0', '\x7f', '\xff'}) {
      change(at, value);
      try {
        read_gguf_header(InputFile(path), {}, 0);
      } catch (const Error& error) {
        EXPECT_NE(error.code(), ExitCode::internal) << at << ": " << error.what();
        ++refused;
      }
    }
    change(at, sound[at]);
  }
  EXPECT_GT(refused, 0);
  EXPECT_EQ(read_gguf_header(InputFile(path), {}, 0).tensors.size(), 2u);
}

}  // namespace
}  // namespace deadray::test
