#include "host/remote/wanted_bytes.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>

#include "host/base/error.h"
#include "host/base/input_file.h"
#include "host/formats/checkpoint.h"
#include "host/formats/file_kind.h"
#include "host/formats/gguf/gguf.h"
#include "host/formats/pytorch/pytorch_archive.h"
#include "host/formats/tensor_names.h"
#include "host/formats/zip/zip_directory.h"

namespace deadray {
namespace {

/// Of a member of a zip archive: its own header, and what writers put there to align the content.
constexpr std::uint64_t kZipHeader = 30 + 128;
/// A member that is as short is read with its header: it may be a norm.
constexpr std::uint64_t kShortMember = 64 * 1024;
/// What an array in an archive of NumPy's begins with.
constexpr std::uint64_t kArrayHeader = 256;
constexpr std::uint64_t kLongestNorm = 1 << 22;

/// The bytes of all members' headers, and of the short ones' contents.
std::vector<ByteRange> members_of(const InputFile& file, const CheckpointOptions& options) {
  std::vector<ByteRange> wanted;
  const ZipDirectory zip(file, options.max_header_bytes);
  for (const ZipMember& member : zip.members()) {
    const bool is_pickle = std::string_view(member.name).ends_with("data.pkl");
    const std::uint64_t content = is_pickle || member.stored <= kShortMember
                                      ? std::min(member.stored, options.max_header_bytes)
                                      : kArrayHeader;
    const std::uint64_t end = member.header + kZipHeader + member.name.size() + content;
    wanted.push_back({member.header, std::min(end, member.limit)});
  }
  return wanted;
}

/// The vocabulary is the longest part of a GGUF file's head. Where it begins it tells the number of
/// its words; with their scores, types and merges each takes some 50 bytes.
std::optional<std::uint64_t> end_of_vocabulary(std::string_view head) {
  constexpr std::string_view kWords = "tokenizer.ggml.tokens";
  constexpr std::uint64_t kMostWords = 1 << 21, kBytesOfWord = 50;
  const std::size_t at = head.find(kWords);
  if (at == head.npos || head.size() - at < kWords.size() + 16) return std::nullopt;
  std::uint64_t words = 0;  // after the kinds of value and of element
  std::memcpy(&words, head.data() + at + kWords.size() + 8, sizeof words);
  if (words > kMostWords) return std::nullopt;
  return at + words * kBytesOfWord;
}

/// A head is read from front to back, and does not say how long it is: half a megabyte at least,
/// then as much again as there was, sixteen times at first.
ByteRange further_head(const InputFile& file, std::uint64_t begin) {
  std::string head(std::min(begin, kFirstPiece), '\0');
  file.read(0, head.size(), head.data());
  const std::uint64_t grown = begin <= kFirstPiece ? 16 * kFirstPiece : 3 * begin;
  std::uint64_t end = grown;
  if (begin <= kFirstPiece)
    if (const auto vocabulary = end_of_vocabulary(head)) end = *vocabulary + kFirstPiece;
  return {begin, std::min(std::max(end, begin + kFirstPiece), file.size())};
}

std::vector<ByteRange> wanted_of(const InputFile& file, const MissingBytes& missing,
                                 const CheckpointOptions& options) {
  const auto& held = file.partial()->what().ranges;
  const bool has_beginning = !held.empty() && held.front().begin == 0;
  if (has_beginning && looks_like_gguf(file)) return {further_head(file, held.front().end)};
  std::string first;
  if (!has_beginning || !looks_like_zip(file, first)) {
    // A stream of pickles tells its parts one after the other; a safetensors header its length.
    const std::uint64_t least = has_beginning && looks_like_pytorch(file) ? kFirstPiece : 0;
    const ByteRange& wanted = missing.wanted;
    return {{wanted.begin, std::min(std::max(wanted.end, wanted.begin + least), file.size())}};
  }
  const bool has_end = held.back().end == file.size();
  if (!has_end) return {{file.size() - std::min(file.size(), kFirstPiece), file.size()}};
  try {
    std::vector<ByteRange> members = members_of(file, options);
    members.push_back(missing.wanted);
    return members;
  } catch (const MissingBytes& directory) {
    return {directory.wanted};
  }
}

bool is_table(std::string_view name) {
  for (const std::string_view part :
       {"embed", "wte", "lm_head", "shared.weight", "embd", "output.weight", "decoder.weight"})
    if (name.find(part) != name.npos) return true;
  return false;
}

}  // namespace

bool has_table_at_end(std::string_view name) {
  const auto format = format_of_name(name);
  return format == ContainerFormat::pytorch || format == ContainerFormat::numpy;
}

std::vector<ByteRange> wanted_for_header(const std::filesystem::path& path) {
  const CheckpointOptions options;
  const InputFile file(path);
  try {
    read_container_header(file, options, 0);
    return {};
  } catch (const MissingBytes& missing) {
    return wanted_of(file, missing, options);
  }
}

std::vector<ByteRange> wanted_for_description(const TensorInfo& tensor) {
  const bool is_short = tensor.shape.size() <= 1 && tensor.bytes <= kLongestNorm;
  if (is_short && (looks_like_norm(tensor.name) || tensor.name.find("rope") != std::string::npos))
    return {{tensor.offset, tensor.offset + tensor.bytes}};
  if (tensor.shape.size() != 2 || tensor.shape[0] <= 0 || tensor.code != nullptr ||
      !is_table(tensor.name))
    return {};
  const std::uint64_t row = tensor.bytes / static_cast<std::uint64_t>(tensor.shape[0]);
  const std::uint64_t end = tensor.offset + tensor.bytes;
  return {{tensor.offset, tensor.offset + row}, {end - row, end}};
}

}  // namespace deadray
