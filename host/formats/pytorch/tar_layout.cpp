#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/formats/damaged.h"
#include "host/formats/pytorch/layouts.h"
#include "host/formats/pytorch/pickle_machine.h"
#include "host/formats/pytorch/state_dict.h"
#include "host/formats/pytorch/tar_members.h"

namespace deadray {
namespace {

constexpr std::int64_t kMostObjects = 1'000'000;

/// Reads the three members one after the other: what a later one refers to, an earlier one has.
class TarReader {
 public:
  TarReader(const InputFile& file, const CheckpointOptions& options)
      : file_(file), options_(options), members_(read_tar_members(file)) {}

  ContainerHeader read(std::size_t file_index) {
    read_storages(member("storages"));
    read_tensors(member("tensors"));
    const TarMember pickle = member("pickle");
    PickleBytes bytes(file_, pickle.begin, pickle.end, options_.max_header_bytes);
    const PickleValue root = PickleMachine(bytes, heap_, &objects_).load();
    const auto find_storage = [&](std::size_t index) {
      if (index < places_.size()) return places_[index];
      throw MalformedError(fmt::format("{}: its pickle makes a storage of its own: {}",
                                       file_.path().string(), kDamaged));
    };
    ContainerHeader header = state_dict_header({bytes, heap_, root, find_storage}, file_index);
    header.bytes = bytes_read_ + bytes.bytes_read();
    return header;
  }

 private:
  TarMember member(std::string_view name) const {
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
    if (end - at < sizeof(value)) fail(at, "a number is cut off");
    file_.read(at, sizeof(value), &value);
    at += sizeof(value);
    return value;
  }

  /// A count; for each the pickle (key, device, class), a number of elements, the elements. Then
  /// the pickle of views: (key, key of the whole, offset, elements).
  void read_storages(const TarMember& member) {
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
        fail(at,
             fmt::format("a storage of {} elements, {} bytes are left", elements, member.end - at));
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
  void read_tensors(const TarMember& member) {
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
    throw MalformedError(
        fmt::format("{}: byte {}: {}: {}", file_.path().string(), at, problem, kDamaged));
  }

  const InputFile& file_;
  const CheckpointOptions& options_;
  TarMembers members_;
  PickleHeap heap_;
  PickledObjects objects_;
  std::vector<StoragePlace> places_;  // of heap_.storages
  std::uint64_t bytes_read_ = 0;
};

}  // namespace

ContainerHeader read_torch_tar(const InputFile& file, const CheckpointOptions& options,
                               std::size_t file_index) {
  return TarReader(file, options).read(file_index);
}

}  // namespace deadray
