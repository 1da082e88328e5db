#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "host/formats/pytorch/pickle_globals.h"

// What a pickle builds here: plain data, small, without a class of Python's behind it.
namespace deadray {

/// A tensor of more is refused: a pickle can repeat one long shape for nothing.
inline constexpr std::size_t kMostDimensions = 64;

enum class PickleKind : std::uint8_t {
  none,
  boolean,
  integer,
  long_integer,  ///< beyond 64 bits: its bytes, little-endian
  real,
  text,
  bytes,
  tuple,
  list,
  dict,
  global,   ///< a function or class of the closed list
  storage,  ///< of tensors
  tensor,
  opaque,  ///< a value that weights do not need: of NumPy, a device, a set
};

/// One value, of 16 bytes. Text lies in the pickle itself, all else that has parts in PickleHeap.
struct PickleValue {
  PickleKind kind = PickleKind::none;
  std::uint32_t size = 0;  ///< bytes of text, items of a tuple
  std::uint64_t at = 0;    ///< the number itself; where text, items or object are

  static PickleValue integer(std::int64_t value) {
    return {PickleKind::integer, 0, static_cast<std::uint64_t>(value)};
  }
  std::int64_t as_integer() const { return static_cast<std::int64_t>(at); }
  static PickleValue global(const PickleGlobal* entry) {
    return {PickleKind::global, 0, reinterpret_cast<std::uintptr_t>(entry)};
  }
  const PickleGlobal& as_global() const {
    return *reinterpret_cast<const PickleGlobal*>(static_cast<std::uintptr_t>(at));
  }
  bool is(PickleKind wanted) const { return kind == wanted; }
};

/// A storage as the pickle refers to it; where it lies in the file is for the archive to say.
struct PickledStorage {
  PickleValue key;  ///< text, in zip archives and streams
  const PickleGlobal* type = nullptr;
  std::int64_t elements = 0;
  std::int64_t view_begin = 0;  ///< elements before a view of another storage; zip has none
};

struct PickledTensor {
  std::size_t storage = 0;             ///< index into PickleHeap::storages
  std::int64_t offset = 0;             ///< elements before the first one
  PickleValue shape, strides;          ///< of integers
  const PickleGlobal* type = nullptr;  ///< a storage's class or a dtype
  /// Why its values cannot be read ("quantised", "sparse"); null where they can.
  const char* obstacle = nullptr;
};

/// The parts of all values of one pickle. Values refer to it by number, so that shared ones and
/// cycles cost nothing and end with it.
struct PickleHeap {
  std::vector<PickleValue> items;  ///< of all tuples
  /// Of lists; of dictionaries key, value, key, value … as they were set.
  std::vector<std::vector<PickleValue>> containers;
  std::vector<PickledStorage> storages;
  std::vector<PickledTensor> tensors;

  /// Of a tuple, list or dictionary; nothing of any other value.
  std::span<const PickleValue> items_of(const PickleValue& value) const {
    if (value.is(PickleKind::tuple)) return std::span(items).subspan(value.at, value.size);
    if (value.is(PickleKind::list) || value.is(PickleKind::dict)) return containers[value.at];
    return {};
  }
};

}  // namespace deadray
