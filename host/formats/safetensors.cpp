#include "host/formats/safetensors.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <string_view>

#include <fmt/format.h>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/formats/file_kind.h"
#include "host/formats/safetensors_parser.h"

namespace deadray {
namespace {

/// The length that the file's first bytes announce, checked against limit and file.
std::uint64_t header_length(const InputFile& file, const CheckpointOptions& options) {
  const std::string name = file.path().string();
  if (file.size() < kLengthBytes)
    throw MalformedError(fmt::format(
        "{}: too short: {} bytes, need at least 8 (interrupted download?)", name, file.size()));
  std::uint64_t length;
  file.read(0, sizeof(length), &length);
  const bool too_large = length > options.max_header_bytes;
  if (!too_large && length <= file.size() - kLengthBytes) return length;

  refuse_other_formats(file);
  if (file.size() == kLengthBytes)
    throw MalformedError(fmt::format(
        "{}: too short: 8 bytes, need at least a header after them (interrupted download?)", name));
  if (too_large)
    throw MalformedError(
        fmt::format("{}: header too large: {} bytes (limit {} MB; --max-header to raise)", name,
                    length, static_cast<double>(options.max_header_bytes) / 1e6));
  throw MalformedError(
      fmt::format("{}: header says {} bytes, file has {}: truncated, fetch it again", name, length,
                  file.size()));
}

void refuse_duplicates(const std::vector<TensorInfo>& tensors, const InputFile& file) {
  const auto same_name = [](const TensorInfo& a, const TensorInfo& b) { return a.name == b.name; };
  const auto twice = std::adjacent_find(tensors.begin(), tensors.end(), same_name);
  if (twice != tensors.end())
    throw MalformedError(
        fmt::format("{}: duplicate key {}", file.path().string(), in_quotes(twice->name)));
}

/// Data must follow one another without overlap or hole, as the format demands: whatever else lies
/// in the file belongs to nobody.
/// @return the first byte after the last tensor
std::uint64_t check_layout(const std::vector<TensorInfo>& tensors, const InputFile& file,
                           std::uint64_t data_begin) {
  std::vector<const TensorInfo*> by_offset;
  by_offset.reserve(tensors.size());
  for (const TensorInfo& tensor : tensors) by_offset.push_back(&tensor);
  std::sort(by_offset.begin(), by_offset.end(), [](const TensorInfo* a, const TensorInfo* b) {
    return a->offset != b->offset ? a->offset < b->offset : a->bytes < b->bytes;
  });
  std::uint64_t end = data_begin;
  const TensorInfo* previous = nullptr;
  for (const TensorInfo* tensor : by_offset) {
    if (tensor->offset > end)
      throw MalformedError(
          fmt::format("{}: tensor {}: begins at byte {} of the data, expected {}: a hole of {} "
                      "bytes that belong to no tensor",
                      file.path().string(), in_quotes(tensor->name), tensor->offset - data_begin,
                      end - data_begin, tensor->offset - end));
    if (tensor->offset < end)
      throw MalformedError(fmt::format(
          "{}: tensor {}: begins at byte {} of the data and overlaps tensor {}, which ends at {}",
          file.path().string(), in_quotes(tensor->name), tensor->offset - data_begin,
          in_quotes(previous->name), end - data_begin));
    end += tensor->bytes;
    previous = tensor;
  }
  return end;
}

}  // namespace

ContainerHeader read_safetensors_header(const InputFile& file, const CheckpointOptions& options,
                                        std::size_t file_index) {
  const std::uint64_t length = header_length(file, options);
  const auto text = std::make_unique_for_overwrite<char[]>(length);
  file.read(kLengthBytes, length, text.get());
  const std::string_view json(text.get(), length);
  if (!json.starts_with('{'))
    throw MalformedError(fmt::format("{}: header begins with {}, expected a JSON object ('{{')",
                                     file.path().string(), in_quotes(json.substr(0, 8))));

  const std::uint64_t data_begin = kLengthBytes + length;
  ContainerHeader header =
      parse_safetensors_header(json, file.path(), file.size() - data_begin, file_index);
  header.bytes = data_begin;
  const auto by_name = [](const TensorInfo& a, const TensorInfo& b) { return a.name < b.name; };
  if (!std::is_sorted(header.tensors.begin(), header.tensors.end(), by_name))
    std::sort(header.tensors.begin(), header.tensors.end(), by_name);
  refuse_duplicates(header.tensors, file);
  const std::uint64_t end = check_layout(header.tensors, file, data_begin);
  if (end < file.size()) {
    std::string trailing = fmt::format("{}: {} bytes after the last tensor, which ends at byte {}",
                                       file.path().string(), file.size() - end, end);
    if (options.strict) throw MalformedError(trailing + ": expected the file to end there");
    header.notes.push_back(std::move(trailing));
  }
  return header;
}

}  // namespace deadray
