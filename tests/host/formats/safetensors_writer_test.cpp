#include "host/formats/safetensors_writer.h"

#include "host/formats/checkpoint.h"
#include "host/formats/safetensors.h"
#include "tests/support/errors.h"
#include "tests/support/file_size_limit.h"
#include "tests/support/temporary_folder.h"

namespace deadray::test {
namespace {

std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

/// Bytes that no two tensors and no two places share for long.
std::string pattern(std::size_t n) {
  std::string bytes(n, '\0');
  for (std::size_t i = 0; i < n; ++i) bytes[i] = static_cast<char>(i * 167 + i / 256);
  return bytes;
}

TEST(SafetensorsWriterTest, RoundTripsEveryDtypeBitForBit) {
  const TemporaryFolder folder;
  std::vector<TensorDeclaration> tensors;
  for (int i = 0; i < static_cast<int>(DType::unknown); ++i)
    tensors.push_back(
        {"t." + std::to_string(i), static_cast<DType>(i), {3, static_cast<std::int64_t>(i % 4)}});
  tensors.push_back({"scalar", DType::f64, {}});
  tensors.push_back({"größe \"quoted\"\n", DType::f32, {2}});
  std::size_t bytes = 0;
  for (const TensorDeclaration& t : tensors) {
    std::size_t elements = 1;
    for (const std::int64_t extent : t.shape) elements *= static_cast<std::size_t>(extent);
    bytes += elements * size_of(t.dtype);
  }
  const std::string data = pattern(bytes);
  SafetensorsWriter writer(folder / "out.safetensors", tensors,
                           {{"format", "pt"}, {"note", "ü\n"}});
  for (std::size_t at = 0; at < data.size(); at += 7)
    writer.append(as_bytes(std::string_view(data).substr(at, 7)));  // across the tensors' borders
  EXPECT_FALSE(fs::exists(folder / "out.safetensors")) << "not before finish()";
  writer.finish();
  EXPECT_EQ(folder.n_entries(), 1u);

  const Checkpoint checkpoint = Checkpoint::open(folder / "out.safetensors");
  EXPECT_TRUE(checkpoint.notes().empty());
  ASSERT_EQ(checkpoint.tensors().size(), tensors.size());
  std::size_t at = 0;
  for (const TensorDeclaration& declared : tensors) {
    const TensorInfo& tensor = checkpoint.at(declared.name);
    EXPECT_EQ(tensor.dtype, declared.dtype);
    EXPECT_EQ(tensor.shape, declared.shape);
    std::string read(tensor.bytes, '\0');
    checkpoint.read(tensor, read.data());
    EXPECT_EQ(read, data.substr(at, read.size())) << declared.name;
    at += read.size();
  }
  const ContainerHeader header = read_safetensors_header(InputFile(folder / "out.safetensors"));
  EXPECT_EQ(header.bytes % 8, 0u);
  EXPECT_EQ(header.metadata,
            (std::map<std::string, std::string>{{"format", "pt"}, {"note", "ü\n"}}));
}

TEST(SafetensorsWriterTest, WritesAnEmptyFileOfTensors) {
  const TemporaryFolder folder;
  SafetensorsWriter(folder / "none.safetensors", {}).finish();
  EXPECT_TRUE(Checkpoint::open(folder / "none.safetensors").tensors().empty());
}

TEST(SafetensorsWriterTest, InsistsOnExactlyTheDeclaredBytes) {
  const TemporaryFolder folder;
  {
    SafetensorsWriter writer(folder / "a.safetensors", {{"a", DType::f32, {2}}});
    writer.append(as_bytes("1234567"));
    EXPECT_THROW(writer.finish(), std::invalid_argument);
    EXPECT_THROW(writer.append(as_bytes("89")), std::invalid_argument);
  }
  EXPECT_EQ(folder.n_entries(), 0u) << "an unfinished file leaves nothing";
}

TEST(SafetensorsWriterTest, RefusesImpossibleDeclarations) {
  const TemporaryFolder folder;
  const auto declare = [&](std::vector<TensorDeclaration> tensors) {
    SafetensorsWriter(folder / "a.safetensors", tensors);
  };
  EXPECT_THROW(declare({{"a", DType::f32, {1}}, {"a", DType::f32, {1}}}), std::invalid_argument);
  EXPECT_THROW(declare({{"__metadata__", DType::f32, {1}}}), std::invalid_argument);
  EXPECT_THROW(declare({{"a", DType::unknown, {1}}}), std::invalid_argument);
  EXPECT_THROW(declare({{"a", DType::f32, {-1}}}), std::invalid_argument);
  EXPECT_THROW(declare({{"a", DType::f32, {std::int64_t{1} << 62, 4}}}), std::invalid_argument);
  EXPECT_EQ(folder.n_entries(), 0u);
}

TEST(SafetensorsWriterTest, NamesTheBytesNeededWhenTheDiskIsFull) {
  const TemporaryFolder folder;
  std::string message;
  {
    const FileSizeLimit limit(65536);
    message = message_of(ExitCode::resources, [&] {
      SafetensorsWriter writer(folder / "dump.safetensors",
                               {{"residual.0", DType::f64, {1000, 100}}});
      const std::string row(800, 'r');
      for (int i = 0; i < 1000; ++i) writer.append(as_bytes(row));
      writer.finish();
    });
  }
  EXPECT_TRUE(contains(message, "dump.safetensors: cannot be written"));
  EXPECT_TRUE(contains(message, "needs 800"));  // 800,000 bytes of data and the header
  EXPECT_EQ(folder.n_entries(), 0u);
}

TEST(SafetensorsWriterTest, NamesAMissingFolder) {
  EXPECT_TRUE(contains(
      message_of(ExitCode::resources, [] { SafetensorsWriter("/nowhere/out.safetensors", {}); }),
      "folder /nowhere does not exist"));
}

}  // namespace
}  // namespace deadray::test
