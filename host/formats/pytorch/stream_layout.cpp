#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/formats/damaged.h"
#include "host/formats/pytorch/layouts.h"
#include "host/formats/pytorch/pickle_machine.h"
#include "host/formats/pytorch/state_dict.h"

namespace deadray {
namespace {

/// 0x1950a86a20f9469cfc6c, as LONG1 has it.
constexpr std::string_view kMagic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
constexpr std::string_view kLong1 = "\x8a\x0a";
constexpr std::int64_t kVersion = 1001;

using Places = std::map<std::string, StoragePlace, std::less<>>;

/// Of each storage that the pickle refers to, bytes an element takes.
std::map<std::string, std::uint64_t, std::less<>> element_sizes(const PickleBytes& bytes,
                                                                const PickleHeap& heap) {
  std::map<std::string, std::uint64_t, std::less<>> sizes;
  for (const PickledStorage& storage : heap.storages)
    sizes.try_emplace(std::string(bytes.text(storage.key.at, storage.key.size)),
                      storage.type->element_bytes);
  return sizes;
}

/// Each storage is the number of its elements, and then these.
Places read_places(const InputFile& file, const PickleBytes& bytes, const PickleHeap& heap,
                   const PickleHeap& key_heap, const PickleValue& keys, std::uint64_t begin) {
  if (!keys.is(PickleKind::list))
    throw MalformedError(fmt::format("{}: before byte {} the list of its storages is {}: {}",
                                     file.path().string(), begin,
                                     describe_pickled(keys, key_heap, bytes), kDamaged));
  const auto sizes = element_sizes(bytes, heap);
  Places places;
  std::uint64_t at = begin;
  const auto fail = [&](std::string_view key, std::string_view problem) {
    throw MalformedError(fmt::format("{}: storage {} at byte {} {}: {}", file.path().string(),
                                     in_quotes(key), at, problem, kDamaged));
  };
  for (const PickleValue& key : key_heap.items_of(keys)) {
    const std::string name(key.is(PickleKind::text) ? bytes.text(key.at, key.size) : "");
    const auto known = sizes.find(name);
    if (known == sizes.end()) fail(name, "belongs to no tensor");
    std::uint64_t elements = 0, size = 0;
    if (file.size() - at < sizeof(elements)) fail(name, "is cut off");
    file.read(at, sizeof(elements), &elements);
    if (__builtin_mul_overflow(elements, known->second, &size) ||
        size > file.size() - at - sizeof(elements))
      fail(name, fmt::format("has {} elements of {} bytes, {} bytes are left", elements,
                             known->second, file.size() - at - sizeof(elements)));
    places.insert_or_assign(name, StoragePlace{at + sizeof(elements), size});
    at += sizeof(elements) + size;
  }
  return places;
}

}  // namespace

bool looks_like_torch_stream(const InputFile& file) {
  // PROTO, in protocols 4 and 5 FRAME, LONG1: anything else is another pickle.
  std::string head(std::min<std::uint64_t>(file.size(), 32), '\0');
  file.read(0, head.size(), head.data());
  if (head.size() < 2 || head[0] != '\x80') return false;
  std::string_view rest = std::string_view(head).substr(2);
  if (rest.starts_with('\x95') && rest.size() > 9) rest.remove_prefix(9);
  return rest.starts_with(kLong1) && rest.substr(kLong1.size()).starts_with(kMagic);
}

ContainerHeader read_torch_stream(const InputFile& file, const CheckpointOptions& options,
                                  std::size_t file_index) {
  const std::string name = file.path().string();
  PickleBytes bytes(file, 0, file.size(), options.max_header_bytes);
  PickleHeap heap, others;
  PickleMachine(bytes, others).load();  // the magic number
  const PickleValue version = PickleMachine(bytes, others).load();
  if (!version.is(PickleKind::integer) || version.as_integer() != kVersion)
    throw UnsupportedError(fmt::format(
        "{}: version of its stream: {} found, {} expected: save it again with torch.save()", name,
        describe_pickled(version, others, bytes), kVersion));
  PickleMachine(bytes, others).load();  // the machine that wrote it; storages are little-endian
  const PickleValue root = PickleMachine(bytes, heap).load();
  const PickleValue keys = PickleMachine(bytes, others).load();
  const Places places = read_places(file, bytes, heap, others, keys, bytes.place());

  const auto find_storage = [&](std::size_t index) {
    const PickleValue key = heap.storages[index].key;
    const std::string_view text = bytes.text(key.at, key.size);
    const auto found = places.find(text);
    if (found == places.end())
      throw MalformedError(
          fmt::format("{}: its pickle refers to storage {}, which is not there: {}", name,
                      in_quotes(text), kDamaged));
    return found->second;
  };
  ContainerHeader header = state_dict_header({bytes, heap, root, find_storage}, file_index);
  header.bytes = bytes.bytes_read() + places.size() * sizeof(std::uint64_t);
  return header;
}

}  // namespace deadray
