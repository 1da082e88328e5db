#include <map>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/formats/damaged.h"
#include "host/formats/pytorch/layouts.h"
#include "host/formats/pytorch/pickle_machine.h"
#include "host/formats/pytorch/state_dict.h"
#include "host/formats/zip/zip_directory.h"

namespace deadray {
namespace {

constexpr std::string_view kPickle = "data.pkl";

std::string_view folder_of(std::string_view member) {
  return member.substr(0, member.rfind('/') + 1);
}

/// "<archive>/", whatever it is called, or "".
std::string top_folder(const ZipDirectory& zip, const std::string& file) {
  const ZipMember* pickle = nullptr;
  for (const ZipMember& member : zip.members()) {
    const std::string_view folder = folder_of(member.name);
    if (std::string_view(member.name).substr(folder.size()) != kPickle ||
        folder.find('/') + 1 < folder.size())
      continue;
    if (pickle != nullptr)
      throw MalformedError(fmt::format("{}: has two pickles, {} and {}: {}", file,
                                       in_quotes(pickle->name), in_quotes(member.name), kDamaged));
    pickle = &member;
  }
  if (pickle == nullptr)
    throw UnsupportedError(fmt::format(
        "{}: a zip archive without data.pkl: not a PyTorch checkpoint; if it is a packed folder, "
        "unpack it",
        file));
  return std::string(folder_of(pickle->name));
}

void refuse_other_contents(ZipDirectory& zip, const std::string& file, const std::string& folder) {
  if (zip.find(folder + "constants.pkl") != nullptr)
    throw UnsupportedError(fmt::format(
        "{}: a TorchScript program, not a table of tensors; save its state_dict() instead", file));
  for (const ZipMember& member : zip.members())
    if (!member.is_plain())
      throw UnsupportedError(
          fmt::format("{}: member {} is compressed ({} bytes out of {}): save it with torch.save()",
                      file, in_quotes(member.name), member.bytes, member.stored));
  if (const ZipMember* order = zip.find(folder + "byteorder"))
    if (const std::string found = zip.read(*order, 100); found != "little")
      throw UnsupportedError(fmt::format(
          "{}: byte order {}, deadray reads 'little': save it where that is the machine's own",
          file, in_quotes(found)));
}

}  // namespace

ContainerHeader read_torch_zip(const InputFile& file, const CheckpointOptions& options,
                               std::size_t file_index) {
  const std::string name = file.path().string();
  ZipDirectory zip(file, options.max_header_bytes);
  const std::string folder = top_folder(zip, name);
  refuse_other_contents(zip, name, folder);
  const ZipMember& pickle = *zip.find(folder + std::string(kPickle));
  const std::uint64_t begin = zip.data_begin(pickle);
  PickleBytes bytes(file, begin, zip.read(pickle, options.max_header_bytes));
  PickleHeap heap;
  const PickleValue root = PickleMachine(bytes, heap).load();

  std::map<std::string, StoragePlace, std::less<>> places;
  const auto find_storage = [&](std::size_t index) {
    const PickleValue key = heap.storages[index].key;
    const std::string_view text = bytes.text(key.at, key.size);
    if (const auto known = places.find(text); known != places.end()) return known->second;
    const ZipMember* member = zip.find(fmt::format("{}data/{}", folder, text));
    if (member == nullptr)
      throw MalformedError(fmt::format("{}: its pickle refers to member {}, which is not there: {}",
                                       name, in_quotes(fmt::format("{}data/{}", folder, text)),
                                       kDamaged));
    const StoragePlace place{zip.data_begin(*member), member->bytes};
    places.emplace(text, place);
    return place;
  };
  ContainerHeader header = state_dict_header({bytes, heap, root, find_storage}, file_index);
  header.bytes = zip.bytes_read();
  return header;
}

}  // namespace deadray
