#include "host/formats/gguf/gguf.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <limits>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/formats/gguf/ggml_types.h"
#include "host/formats/gguf/head_reader.h"
#include "host/formats/gguf/metadata.h"
#include "host/formats/gguf/split.h"

namespace deadray {
namespace {

constexpr std::size_t kMagicBytes = 4;
constexpr std::uint32_t kGgmlDimensions = 4;
/// Length of the name, one character, number of dimensions, type, offset.
constexpr std::uint64_t kLeastTensorBytes = 8 + 1 + 4 + 4 + 8;

struct OlderFormat {
  std::string_view magic;  ///< a number in the file, so that its characters stand in reverse
  std::string_view name;
};
constexpr std::array kOlderFormats{OlderFormat{"ggml", "GGML"}, OlderFormat{"ggmf", "GGMF"},
                                   OlderFormat{"ggjt", "GGJT"},
                                   OlderFormat{"ggla", "GGLA (a LoRA adapter)"}};

std::string first_bytes(const InputFile& file) {
  std::string magic(std::min<std::uint64_t>(kMagicBytes, file.size()), '\0');
  file.read(0, magic.size(), magic.data());
  return magic;
}

/// The older format whose magic this is, forwards or backwards.
const OlderFormat* older_format(std::string magic) {
  std::transform(magic.begin(), magic.end(), magic.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const OlderFormat& format : kOlderFormats)
    if (std::equal(magic.begin(), magic.end(), format.magic.begin(), format.magic.end()) ||
        std::equal(magic.rbegin(), magic.rend(), format.magic.begin(), format.magic.end()))
      return &format;
  return nullptr;
}

constexpr std::string_view kGguf = "GGUF", kSwapped = "FUGG";

void check_magic(const InputFile& file) {
  const std::string magic = first_bytes(file), name = file.path().string();
  if (magic == kGguf) return;
  if (magic == kSwapped)
    throw UnsupportedError(
        fmt::format("{}: is a big-endian GGUF file (it begins with 'FUGG'); deadray reads "
                    "little-endian ones",
                    name));
  if (const OlderFormat* older = older_format(magic))
    throw UnsupportedError(
        fmt::format("{}: is a {} file (it begins with {}), older than GGUF: fetch the model as "
                    "GGUF or safetensors",
                    name, older->name, in_quotes(magic)));
  throw MalformedError(fmt::format("{}: begins with {}, expected 'GGUF'", name, in_quotes(magic)));
}

void check_version(const InputFile& file, std::uint32_t version) {
  if (version == 2 || version == 3) return;
  const bool swapped = version != 0 && (version & 0xffff) == 0;
  throw UnsupportedError(
      swapped ? fmt::format("{}: is a big-endian GGUF file; deadray reads little-endian ones",
                            file.path().string())
              : fmt::format("{}: GGUF version {}, deadray reads 2 and 3{}", file.path().string(),
                            version, version > 3 ? "" : ": convert the model again"));
}

/// The file's dimensions, the fastest one first, as a row-major shape.
std::vector<std::int64_t> read_shape(GgufHeadReader& head) {
  const auto rank = head.number<std::uint32_t>();
  if (rank > kGgmlDimensions)
    head.fail(fmt::format("{} dimensions, expected at most {}", rank, kGgmlDimensions));
  std::vector<std::int64_t> shape(rank);
  for (auto extent = shape.rbegin(); extent != shape.rend(); ++extent) {
    *extent = head.number<std::int64_t>();
    if (*extent < 0) head.fail(fmt::format("a dimension of {}", *extent));
  }
  return shape;
}

std::uint64_t stored_bytes(GgufHeadReader& head, const std::vector<std::int64_t>& shape,
                           const BlockCode& code) {
  const std::int64_t row = shape.empty() ? 1 : shape.back();
  if (row % code.elements != 0)
    head.fail(fmt::format("rows of {} elements, expected whole blocks of {} ({})", row,
                          code.elements, code.name));
  std::int64_t elements = 1;
  std::uint64_t bytes = 0;
  bool overflow = false;
  for (const std::int64_t extent : shape)
    overflow |= __builtin_mul_overflow(elements, extent, &elements);
  overflow |= __builtin_mul_overflow(static_cast<std::uint64_t>(elements / code.elements),
                                     code.bytes, &bytes);
  if (overflow)
    head.fail(fmt::format("shape [{}] of {} overflows", fmt::join(shape, ", "), code.name));
  return bytes;
}

/// @return a tensor whose offset counts from the start of the data, unchecked
TensorInfo read_tensor(GgufHeadReader& head, const InputFile& file, std::size_t file_index) {
  TensorInfo tensor;
  tensor.file = file_index;
  tensor.name = read_gguf_name(head);
  head.about(fmt::format("tensor {}", in_quotes(tensor.name)));
  tensor.shape = read_shape(head);
  const auto number = head.number<std::uint32_t>();
  const GgmlType* type = find_ggml_type(number);
  if (type == nullptr)
    throw UnsupportedError(
        fmt::format("{}: tensor {}: byte {}: element type {} unknown to deadray, or not in use any "
                    "more",
                    file.path().string(), in_quotes(tensor.name), head.position() - 4, number));
  tensor.bytes = stored_bytes(head, tensor.shape, type->code);
  tensor.dtype = type->dtype;
  tensor.stored_dtype = type->code.name;
  if (type->code.decode != nullptr) tensor.code = &type->code;
  tensor.offset = head.number<std::uint64_t>();
  return tensor;
}

std::vector<TensorInfo> read_tensors(GgufHeadReader& head, const InputFile& file,
                                     std::uint64_t count, std::size_t file_index) {
  std::vector<TensorInfo> tensors;
  for (std::uint64_t i = 0; i < count; ++i) {
    head.about(fmt::format("tensor {} of {}", i + 1, count));
    tensors.push_back(read_tensor(head, file, file_index));
  }
  return tensors;
}

std::uint64_t padded(std::uint64_t bytes, std::uint64_t alignment) {
  return (bytes + alignment - 1) / alignment * alignment;
}

/// Makes offsets count from the start of the file, and checks them against it.
void place(std::vector<TensorInfo>& tensors, const InputFile& file, std::uint64_t data_begin,
           std::uint64_t alignment) {
  const std::uint64_t data_bytes = file.size() - std::min(file.size(), data_begin);
  for (TensorInfo& tensor : tensors) {
    const auto where = [&] {
      return fmt::format("{}: tensor {}", file.path().string(), in_quotes(tensor.name));
    };
    if (tensor.offset % alignment != 0)
      throw MalformedError(
          fmt::format("{}: begins at byte {} of the data, expected a multiple of "
                      "{} (its alignment)",
                      where(), tensor.offset, alignment));
    if (tensor.offset > data_bytes || tensor.bytes > data_bytes - tensor.offset)
      throw MalformedError(
          fmt::format("{}: {} bytes from byte {} of the data on, file has {}: truncated, or the "
                      "first of several pieces: join them (cat PIECES > FILE)",
                      where(), tensor.bytes, tensor.offset, data_bytes));
    tensor.offset += data_begin;
  }
}

void refuse_duplicates(const std::vector<TensorInfo>& tensors, const InputFile& file) {
  const auto twice =
      std::adjacent_find(tensors.begin(), tensors.end(),
                         [](const TensorInfo& a, const TensorInfo& b) { return a.name == b.name; });
  if (twice != tensors.end())
    throw MalformedError(
        fmt::format("{}: tensor {} is there twice", file.path().string(), in_quotes(twice->name)));
}

/// @return bytes of the file's data that belong to no tensor, but for what aligns the next one
std::uint64_t check_layout(const std::vector<TensorInfo>& tensors, const InputFile& file,
                           std::uint64_t data_begin, std::uint64_t alignment) {
  std::vector<const TensorInfo*> by_offset;
  for (const TensorInfo& tensor : tensors)
    if (tensor.bytes > 0) by_offset.push_back(&tensor);
  std::sort(by_offset.begin(), by_offset.end(),
            [](const TensorInfo* a, const TensorInfo* b) { return a->offset < b->offset; });
  std::uint64_t end = std::min(data_begin, file.size()), unclaimed = 0;
  const TensorInfo* previous = nullptr;
  for (const TensorInfo* tensor : by_offset) {
    if (tensor->offset < end)
      throw MalformedError(
          fmt::format("{}: tensor {}: begins at byte {} and overlaps tensor {}, which ends at {}",
                      file.path().string(), in_quotes(tensor->name), tensor->offset,
                      in_quotes(previous->name), previous->offset + previous->bytes));
    unclaimed += tensor->offset - end;
    end = data_begin + padded(tensor->offset - data_begin + tensor->bytes, alignment);
    previous = tensor;
  }
  return unclaimed + file.size() - std::min(file.size(), end);
}

}  // namespace

bool looks_like_gguf(const InputFile& file) {
  const std::string magic = first_bytes(file);
  return magic == kGguf || magic == kSwapped || older_format(magic) != nullptr;
}

ContainerHeader read_gguf_header(const InputFile& file, const CheckpointOptions& options,
                                 std::size_t file_index) {
  check_magic(file);
  GgufHeadReader head(file, options.max_header_bytes);
  head.skip(kMagicBytes);
  check_version(file, head.number<std::uint32_t>());
  const auto n_tensors = head.number<std::uint64_t>(), n_keys = head.number<std::uint64_t>();
  head.expect(n_tensors, kLeastTensorBytes, "tensors");

  ContainerHeader header;
  header.format = ContainerFormat::gguf;
  GgufMetadata metadata = read_gguf_metadata(head, n_keys);
  header.metadata = std::move(metadata.values);
  require_part_number(file.path(), header.metadata, file_index);
  header.tensors = read_tensors(head, file, n_tensors, file_index);
  header.bytes = head.position();

  const std::uint64_t data_begin = padded(head.position(), metadata.alignment);
  place(header.tensors, file, data_begin, metadata.alignment);
  std::sort(header.tensors.begin(), header.tensors.end(),
            [](const TensorInfo& a, const TensorInfo& b) { return a.name < b.name; });
  refuse_duplicates(header.tensors, file);
  const std::uint64_t unclaimed =
      check_layout(header.tensors, file, data_begin, metadata.alignment);
  if (unclaimed > 0) {
    std::string note =
        fmt::format("{}: {} bytes of data belong to no tensor", file.path().string(), unclaimed);
    if (options.strict) throw MalformedError(note);
    header.notes.push_back(std::move(note));
  }
  return header;
}

}  // namespace deadray
