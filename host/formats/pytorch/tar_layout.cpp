#include <algorithm>
#include <charconv>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/formats/pytorch/layouts.h"
#include "host/formats/pytorch/pickle_machine.h"
#include "host/formats/pytorch/state_dict.h"

namespace deadray {
namespace {

constexpr std::uint64_t kBlock = 512;
constexpr std::size_t kMostMembers = 1000;
constexpr std::int64_t kMostObjects = 1'000'000;

struct Member {
  std::uint64_t begin = 0, end = 0;
};

/// A tar header's number: octal digits, or for large ones big-endian after a set bit.
std::optional<std::uint64_t> tar_number(std::string_view field) {
  if (field[0] == '\x80') {
    std::uint64_t value = 0;
    for (const char byte : field.substr(field.size() - 8))
      value = value << 8 | static_cast<unsigned char>(byte);
    return value;
  }
  field.remove_prefix(std::min(field.size(), field.find_first_not_of(' ')));
  std::uint64_t value = 0;
  const auto result = std::from_chars(field.data(), field.data() + field.size(), value, 8);
  if (result.ec != std::errc()) return std::nullopt;
  return value;
}

/// Whether a block's checksum is that of its bytes, its own eight taken for spaces.
bool is_tar_header(std::string_view block) {
  if (block.substr(257, 5) != "ustar") return false;
  std::uint64_t sum = 8 * std::uint64_t{' '};
  for (std::size_t i = 0; i < block.size(); ++i)
    if (i < 148 || i >= 156) sum += static_cast<unsigned char>(block[i]);
  return tar_number(block.substr(148, 8)) == sum;
}

std::map<std::string, Member, std::less<>> tar_members(const InputFile& file) {
  std::map<std::string, Member, std::less<>> members;
  for (std::uint64_t at = 0; file.size() - at >= kBlock && members.size() < kMostMembers;) {
    std::string block(kBlock, '\0');
    file.read(at, kBlock, block.data());
    if (block.find_first_not_of('\0') == block.npos) break;
    const std::string_view header = block;
    const auto size = tar_number(header.substr(124, 12));
    if (!is_tar_header(header) || !size)
      throw MalformedError(fmt::format("{}: tar archive: byte {} holds {}, expected a header",
                                       file.path().string(), at, in_quotes(header.substr(0, 8))));
    const std::string_view name = header.substr(0, std::min<std::size_t>(100, header.find('\0')));
    const std::uint64_t begin = at + kBlock;
    if (*size > file.size() - begin)
      throw MalformedError(fmt::format(
          "{}: tar archive: member {} takes {} bytes from byte {} on, the file has {}: truncated, "
          "fetch it again",
          file.path().string(), in_quotes(name), *size, begin, file.size()));
    members.insert_or_assign(std::string(name), Member{begin, begin + *size});
    at = begin + std::min(file.size() - begin, (*size + kBlock - 1) / kBlock * kBlock);
  }
  return members;
}

/// Reads the three members one after the other: what a later one refers to, an earlier one has.
class TarReader {
 public:
  TarReader(const InputFile& file, const CheckpointOptions& options)
      : file_(file), options_(options), members_(tar_members(file)) {}

  ContainerHeader read(std::size_t file_index) {
    read_storages(member("storages"));
    read_tensors(member("tensors"));
    const Member pickle = member("pickle");
    PickleBytes bytes(file_, pickle.begin, pickle.end, options_.max_header_bytes);
    const PickleValue root = PickleMachine(bytes, heap_, &objects_).load();
    const auto find_storage = [&](std::size_t index) {
      if (index < places_.size()) return places_[index];
      throw MalformedError(
          fmt::format("{}: its pickle makes a storage of its own", file_.path().string()));
    };
    ContainerHeader header = state_dict_header({bytes, heap_, root, find_storage}, file_index);
    header.bytes = bytes_read_ + bytes.bytes_read();
    return header;
  }

 private:
  Member member(std::string_view name) const {
    const auto found = members_.find(name);
    if (found == members_.end())
      throw UnsupportedError(
          fmt::format("{}: a tar archive without the member '{}': not a PyTorch checkpoint; if it "
                      "is a packed folder, unpack it",
                      file_.path().string(), name));
    return found->second;
  }

  /// The next pickle's items; `at` moves behind it.
  std::vector<PickleValue> record(std::uint64_t& at, std::uint64_t end, std::size_t least,
                                  std::vector<std::string>& keys) {
    PickleBytes bytes(file_, at, end, options_.max_header_bytes);
    PickleHeap heap;
    const PickleValue value = PickleMachine(bytes, heap).load();
    const std::span<const PickleValue> items = heap.items_of(value);
    if (items.size() < least)
      fail(at, fmt::format("{} found, a tuple of {} expected", describe_pickled(value, heap, bytes),
                           least));
    keys.clear();
    for (const PickleValue& item : items) keys.push_back(key_of(item, bytes));
    at = bytes.place();
    bytes_read_ += bytes.bytes_read();
    return {items.begin(), items.end()};
  }

  static std::string key_of(const PickleValue& value, const PickleBytes& bytes) {
    if (value.is(PickleKind::text)) return std::string(bytes.text(value.at, value.size));
    return value.is(PickleKind::integer) ? fmt::format("{}", value.as_integer()) : "";
  }

  std::uint64_t count(std::uint64_t& at, std::uint64_t end) {
    PickleBytes bytes(file_, at, end, options_.max_header_bytes);
    PickleHeap heap;
    const PickleValue value = PickleMachine(bytes, heap).load();
    if (!value.is(PickleKind::integer) || value.as_integer() < 0)
      fail(at, fmt::format("{} found, a count expected", describe_pickled(value, heap, bytes)));
    if (value.as_integer() > kMostObjects)
      fail(at, fmt::format("{} objects, expected at most {}", value.as_integer(), kMostObjects));
    at = bytes.place();
    bytes_read_ += bytes.bytes_read();
    return static_cast<std::uint64_t>(value.as_integer());
  }

  std::uint64_t number(std::uint64_t& at, std::uint64_t end) {
    std::uint64_t value = 0;
    if (end - at < sizeof(value)) fail(at, "a number is cut off: truncated, fetch it again");
    file_.read(at, sizeof(value), &value);
    at += sizeof(value);
    return value;
  }

  /// A count; for each the pickle (key, device, class), a number of elements, the elements. Then
  /// the pickle of views: (key, key of the whole, offset, elements).
  void read_storages(const Member& member) {
    std::uint64_t at = member.begin;
    std::vector<std::string> keys;
    for (std::uint64_t left = count(at, member.end); left > 0; --left) {
      const std::uint64_t begin = at;
      const std::vector<PickleValue> items = record(at, member.end, 3, keys);
      const PickleGlobal* type = items[2].is(PickleKind::global) ? &items[2].as_global() : nullptr;
      if (type == nullptr || type->element_bytes == 0) fail(begin, "a storage without its class");
      const std::uint64_t elements = number(at, member.end);
      std::uint64_t size = 0;
      if (__builtin_mul_overflow(elements, std::uint64_t{type->element_bytes}, &size) ||
          size > member.end - at)
        fail(at, fmt::format("a storage of {} elements, {} bytes are left: truncated, fetch it "
                             "again",
                             elements, member.end - at));
      add_storage(keys[0], {{}, type, static_cast<std::int64_t>(elements)}, {at, size});
      at += size;
    }
    read_views(at, member.end);
  }

  void read_views(std::uint64_t at, std::uint64_t end) {
    PickleBytes bytes(file_, at, end, options_.max_header_bytes);
    PickleHeap heap;
    const PickleValue views = PickleMachine(bytes, heap).load();
    bytes_read_ += bytes.bytes_read();
    for (const PickleValue& view : heap.items_of(views)) {
      const std::span<const PickleValue> parts = heap.items_of(view);
      const auto whole =
          parts.size() == 4 ? objects_.find(key_of(parts[1], bytes)) : objects_.end();
      if (whole == objects_.end() || !parts[2].is(PickleKind::integer) ||
          !parts[3].is(PickleKind::integer))
        fail(at, fmt::format("{} found, a view of a storage expected",
                             describe_pickled(view, heap, bytes)));
      PickledStorage storage = heap_.storages[whole->second.at];
      const std::int64_t offset = parts[2].as_integer(), elements = parts[3].as_integer();
      if (offset < 0 || elements < 0 || offset > storage.elements ||
          elements > storage.elements - offset)
        fail(at, fmt::format("a view of elements {} to {} + {} of a storage of {}", offset, offset,
                             elements, storage.elements));
      storage.view_begin += offset;
      storage.elements = elements;
      add_storage(key_of(parts[0], bytes), storage, places_[whole->second.at]);
    }
  }

  void add_storage(const std::string& key, const PickledStorage& storage, StoragePlace place) {
    objects_.insert_or_assign(key, PickleValue{PickleKind::storage, 0, heap_.storages.size()});
    heap_.storages.push_back(storage);
    places_.push_back(place);
  }

  /// A count; for each the pickle (key, key of its storage, class), the number of dimensions in
  /// 8 bytes, sizes, strides and an offset.
  void read_tensors(const Member& member) {
    std::uint64_t at = member.begin;
    std::vector<std::string> keys;
    for (std::uint64_t left = count(at, member.end); left > 0; --left) {
      const std::uint64_t begin = at;
      record(at, member.end, 3, keys);
      const auto storage = objects_.find(keys[1]);
      if (storage == objects_.end() || !storage->second.is(PickleKind::storage))
        fail(begin, fmt::format("a tensor of storage {}, which is not there", in_quotes(keys[1])));
      // Its upper half is padding that old writers left as it was.
      const std::uint64_t dimensions = number(at, member.end) & 0xffffffffU;
      if (dimensions > kMostDimensions)
        fail(at, fmt::format("a tensor of {} dimensions, expected at most {}", dimensions,
                             kMostDimensions));
      PickledTensor tensor;
      tensor.storage = storage->second.at;
      tensor.type = heap_.storages[tensor.storage].type;
      tensor.shape = numbers(at, member.end, dimensions);
      tensor.strides = numbers(at, member.end, dimensions);
      tensor.offset = static_cast<std::int64_t>(number(at, member.end));
      if (tensor.offset < 0) fail(at, "a tensor with a negative offset");
      objects_.insert_or_assign(keys[0], PickleValue{PickleKind::tensor, 0, heap_.tensors.size()});
      heap_.tensors.push_back(tensor);
    }
  }

  PickleValue numbers(std::uint64_t& at, std::uint64_t end, std::uint64_t how_many) {
    const PickleValue tuple{PickleKind::tuple, static_cast<std::uint32_t>(how_many),
                            heap_.items.size()};
    for (std::uint64_t i = 0; i < how_many; ++i)
      heap_.items.push_back(PickleValue::integer(static_cast<std::int64_t>(number(at, end))));
    return tuple;
  }

  [[noreturn]] void fail(std::uint64_t at, std::string_view problem) const {
    throw MalformedError(fmt::format("{}: byte {}: {}", file_.path().string(), at, problem));
  }

  const InputFile& file_;
  const CheckpointOptions& options_;
  std::map<std::string, Member, std::less<>> members_;
  PickleHeap heap_;
  PickledObjects objects_;
  std::vector<StoragePlace> places_;  // of heap_.storages
  std::uint64_t bytes_read_ = 0;
};

}  // namespace

bool looks_like_tar(const InputFile& file) {
  if (file.size() < kBlock) return false;
  std::string block(kBlock, '\0');
  file.read(0, kBlock, block.data());
  return is_tar_header(block);
}

ContainerHeader read_torch_tar(const InputFile& file, const CheckpointOptions& options,
                               std::size_t file_index) {
  return TarReader(file, options).read(file_index);
}

}  // namespace deadray
