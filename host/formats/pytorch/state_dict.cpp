#include "host/formats/pytorch/state_dict.h"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/base/utf8.h"
#include "host/formats/damaged.h"
#include "host/formats/pytorch/pickle_machine.h"
#include "host/formats/strided_order.h"

namespace deadray {
namespace {

/// What training programs put around the weights, best first.
constexpr std::string_view kContainers[] = {"state_dict", "model_state_dict", "model", "module"};
constexpr std::size_t kMostContainers = 2, kMostKeysShown = 8;
/// An expanded view repeats what is stored. One that would be larger than its file and this is
/// not read: its size comes from a number alone.
constexpr std::uint64_t kMostRepeated = 64 << 20;

class StateDictReader {
 public:
  StateDictReader(const PickledState& state, std::size_t file_index)
      : state_(state), file_index_(file_index) {}

  ContainerHeader read() {
    ContainerHeader header;
    header.format = ContainerFormat::pytorch;
    const auto [weights, keys] = opened();
    for (const auto& [name, value] : named_tensors(weights))
      header.tensors.push_back(tensor(name, state_.heap.tensors[value.at]));
    if (header.tensors.empty()) refuse_without_tensors(weights, keys);
    if (!keys.empty())
      header.notes.push_back(
          fmt::format("{}: the weights are taken from {}", where(), fmt::join(keys, "")));
    return header;
  }

 private:
  std::string where() const { return state_.bytes.file().path().string(); }

  /// What a dictionary has under a key: the last that was set.
  std::optional<PickleValue> find(const PickleValue& dict, std::string_view key) const {
    const std::span<const PickleValue> items = state_.heap.items_of(dict);
    for (std::size_t i = items.size(); i >= 2; i -= 2)
      if (items[i - 2].is(PickleKind::text) &&
          state_.bytes.text(items[i - 2].at, items[i - 2].size) == key)
        return items[i - 1];
    return std::nullopt;
  }

  /// The weights, and the keys that lead to them.
  std::pair<PickleValue, std::vector<std::string>> opened() const {
    std::pair<PickleValue, std::vector<std::string>> found{state_.root, {}};
    while (found.first.is(PickleKind::dict) && found.second.size() < kMostContainers) {
      std::optional<PickleValue> inside;
      for (const std::string_view key : kContainers) {
        inside = find(found.first, key);
        if (!inside || !inside->is(PickleKind::dict)) continue;
        found.second.push_back(fmt::format("['{}']", key));
        break;
      }
      if (!inside || !inside->is(PickleKind::dict)) break;
      found.first = *inside;
    }
    return found;
  }

  std::string name_of(const PickleValue& key) const {
    return key.is(PickleKind::text) ? std::string(state_.bytes.text(key.at, key.size))
                                    : fmt::format("{}", key.as_integer());
  }

  /// In order of name, each once.
  std::vector<std::pair<std::string, PickleValue>> named_tensors(const PickleValue& dict) const {
    std::vector<std::pair<std::string, PickleValue>> named;
    if (!dict.is(PickleKind::dict)) return named;
    const std::span<const PickleValue> items = state_.heap.items_of(dict);
    std::uint64_t spelled = 0;
    for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
      if (!items[i + 1].is(PickleKind::tensor) ||
          (!items[i].is(PickleKind::text) && !items[i].is(PickleKind::integer)))
        continue;
      // A dictionary has each key once, and its pickle spells it. Damage can set one long key again
      // and again, in a few bytes each time.
      if (items[i].is(PickleKind::text)) spelled += items[i].size;
      if (spelled > state_.bytes.bytes_read())
        throw MalformedError(
            fmt::format("{}: the names of its tensors take more bytes than the {} of its pickle, "
                        "which sets one name again and again: {}",
                        where(), state_.bytes.bytes_read(), kDamaged));
      named.emplace_back(name_of(items[i]), items[i + 1]);
    }
    // Backwards, so that of equal names the one that was set last comes first, and stays.
    std::reverse(named.begin(), named.end());
    std::stable_sort(named.begin(), named.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    named.erase(std::unique(named.begin(), named.end(),
                            [](const auto& a, const auto& b) { return a.first == b.first; }),
                named.end());
    return named;
  }

  TensorInfo tensor(const std::string& name, const PickledTensor& pickled) {
    if (const std::size_t at = first_ill_formed(name); at != name.npos)
      fail(name, fmt::format("byte {} of its name is not UTF-8", at));
    TensorInfo info;
    info.name = name;
    info.file = file_index_;
    info.shape = counts(name, pickled.shape);
    // Many tensors can share one long shape, in a few bytes each.
    dimensions_ += info.shape.size();
    if (dimensions_ > state_.bytes.bytes_read())
      fail(name, fmt::format("with it the shapes have more dimensions than the {} bytes of its "
                             "pickle spell",
                             state_.bytes.bytes_read()));
    const auto strides = counts(name, pickled.strides);
    if (pickled.obstacle != nullptr) {
      info.stored_dtype = pickled.obstacle;
      if (!strided_span(info.shape, std::vector<std::int64_t>(info.shape.size())))
        fail(name, fmt::format("shape [{}] overflows", fmt::join(info.shape, ",")));
      return info;
    }
    info.dtype = pickled.type->dtype;
    info.stored_dtype = info.dtype == DType::unknown ? pickled.type->name : to_string(info.dtype);
    place(info, pickled, strides);
    return info;
  }

  std::vector<std::int64_t> counts(const std::string& name, const PickleValue& tuple) const {
    const std::span<const PickleValue> items = state_.heap.items_of(tuple);
    if (items.size() > kMostDimensions)
      fail(name, fmt::format("{} dimensions, expected at most {}", items.size(), kMostDimensions));
    std::vector<std::int64_t> numbers;
    for (const PickleValue& item : items) {
      if (!item.is(PickleKind::integer) || item.as_integer() < 0)
        fail(name, "its shape or strides were changed after it was made");
      numbers.push_back(item.as_integer());
    }
    return numbers;
  }

  /// Where the elements lie: inside the storage, and in which order.
  void place(TensorInfo& info, const PickledTensor& pickled,
             const std::vector<std::int64_t>& strides) const {
    if (strides.size() != info.shape.size())
      fail(info.name,
           fmt::format("{} strides for shape [{}]", strides.size(), fmt::join(info.shape, ",")));
    const PickledStorage& storage = state_.heap.storages[pickled.storage];
    const StoragePlace stored = state_.find_storage(pickled.storage);
    const auto span = strided_span(info.shape, strides);
    const std::uint64_t size = pickled.type->element_bytes,
                        storage_size = storage.type->element_bytes;
    std::uint64_t view = 0, available = 0, before = 0, end = 0;
    if (!span || __builtin_mul_overflow(static_cast<std::uint64_t>(*span), size, &info.bytes) ||
        __builtin_mul_overflow(static_cast<std::uint64_t>(pickled.offset), size, &before) ||
        __builtin_add_overflow(before, info.bytes, &end) ||
        __builtin_mul_overflow(static_cast<std::uint64_t>(storage.view_begin), storage_size,
                               &view) ||
        __builtin_mul_overflow(static_cast<std::uint64_t>(storage.elements), storage_size,
                               &available))
      fail(info.name,
           fmt::format("shape [{}], strides [{}] and offset {} overflow",
                       fmt::join(info.shape, ","), fmt::join(strides, ","), pickled.offset));
    if (view > stored.bytes || available > stored.bytes - view)
      fail(info.name, fmt::format("its storage should have {} bytes from byte {} on, the file has "
                                  "{} of it",
                                  available, view, stored.bytes));
    if (info.bytes > 0 && end > available)
      fail(info.name,
           fmt::format("shape [{}], strides [{}] and offset {} of {} end at byte {} of a storage "
                       "of {}",
                       fmt::join(info.shape, ","), fmt::join(strides, ","), pickled.offset,
                       info.stored_dtype, end, available));
    info.offset = stored.begin + view + (info.bytes > 0 ? before : 0);
    info.rows = strided_rows(info.shape, strides);
    const auto elements = static_cast<std::uint64_t>(info.elements());
    if (elements > (state_.bytes.file().size() + kMostRepeated) / size) {
      info.dtype = DType::unknown;
      info.stored_dtype = fmt::format("{}, {} elements repeated {} times", info.stored_dtype, *span,
                                      elements / static_cast<std::uint64_t>(*span));
      info.rows = nullptr;
    }
  }

  [[noreturn]] void refuse_without_tensors(const PickleValue& value,
                                           const std::vector<std::string>& keys) const {
    std::string keys_shown;
    const std::span<const PickleValue> items = state_.heap.items_of(value);
    for (std::size_t i = 0; value.is(PickleKind::dict) && i < items.size(); i += 2) {
      if (i == 2 * kMostKeysShown) {
        keys_shown += ", …";
        break;
      }
      keys_shown += (i == 0 ? " with the keys " : ", ") + describe_key(items[i]);
    }
    throw UnsupportedError(fmt::format(
        "{}{}: no tensors in it: {}{} found, a dictionary of named tensors expected: save the "
        "model's state_dict() alone",
        where(), fmt::join(keys, ""), describe_pickled(value, state_.heap, state_.bytes),
        keys_shown));
  }

  std::string describe_key(const PickleValue& key) const {
    return key.is(PickleKind::text) ? in_quotes(state_.bytes.text(key.at, key.size))
                                    : describe_pickled(key, state_.heap, state_.bytes);
  }

  [[noreturn]] void fail(std::string_view name, std::string_view problem) const {
    throw MalformedError(
        fmt::format("{}: tensor {}: {}: {}", where(), in_quotes(name), problem, kDamaged));
  }

  const PickledState& state_;
  std::size_t file_index_;
  std::uint64_t dimensions_ = 0;  ///< of all shapes so far
};

}  // namespace

ContainerHeader state_dict_header(const PickledState& state, std::size_t file_index) {
  return StateDictReader(state, file_index).read();
}

}  // namespace deadray
