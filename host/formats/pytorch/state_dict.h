#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "host/formats/container.h"
#include "host/formats/pytorch/pickle_bytes.h"
#include "host/formats/pytorch/pickle_value.h"

namespace deadray {

/// Where a storage lies in its file.
struct StoragePlace {
  std::uint64_t begin = 0, bytes = 0;
};

/// What a PyTorch file's pickle built. The weights may be inside a training program's container,
/// which is opened with a note: "state_dict", "model", … and one more inside it.
struct PickledState {
  const PickleBytes& bytes;  ///< where its text lies
  const PickleHeap& heap;
  PickleValue root;
  /// Of PickleHeap::storages[index]. @throws MalformedError where the file does not hold it
  std::function<StoragePlace(std::size_t index)> find_storage;
};

/// The named tensors. A name that was set twice has its last value. Types that DType does not have,
/// quantised and sparse tensors are told when they are read.
/// @throws MalformedError a tensor that leaves its storage; a name that is no UTF-8
/// @throws UnsupportedError no tensors
ContainerHeader state_dict_header(const PickledState& state, std::size_t file_index);

}  // namespace deadray
