#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "host/formats/dtype.h"

// The functions and classes that a pickle of weights may name. A name that is not in this list is
// refused: nothing is ever called, a call builds plain data.
namespace deadray {

/// What a call of the global builds.
enum class PickleCall : std::uint8_t {
  ordered_dict,
  counter,
  tensor,            ///< (storage, offset, size, stride, …)
  tensor_of_dtype,   ///< the same with the elements' type as the seventh
  quantised_tensor,  ///< (storage, offset, size, stride, quantizer, …)
  sparse_tensor,     ///< (layout, data)
  nested_tensor,     ///< (buffer, sizes, strides, offsets)
  meta_tensor,       ///< (dtype, size, stride, …)
  wrapper_tensor,    ///< (class, dtype, size, stride, …): a class of its own, without values
  parameter,         ///< (tensor, …)
  device_tensor,     ///< (tensor, …): of a device that stores none itself
  foreign_tensor,    ///< (NumPy array, …): the same, before
  typed_tensor,      ///< (function, class, arguments, state)
  empty_tensor,      ///< a class of tensors: its state says which storage
  size,              ///< (tuple)
  opaque,            ///< what weights do not need
  none,              ///< cannot be called: a dtype, a storage's class
};

struct PickleGlobal {
  std::string_view name;  ///< with its module
  PickleCall call = PickleCall::none;
  DType dtype = DType::unknown;
  std::uint8_t element_bytes = 0;  ///< of storages and dtypes; 0: no such
};

/// The entry of the closed list; null where the list does not have the name.
const PickleGlobal* find_pickle_global(std::string_view module, std::string_view name);

}  // namespace deadray
