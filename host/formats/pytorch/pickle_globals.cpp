#include "host/formats/pytorch/pickle_globals.h"

#include <array>

namespace deadray {
namespace {

using enum PickleCall;

/// The class of storages and the dtype of one type of elements; empty: torch has no such.
struct ElementName {
  std::string_view storage, dtype;
  DType type;
  std::uint8_t bytes;
};

constexpr PickleGlobal kCalls[] = {
    {"collections.OrderedDict", ordered_dict},
    {"collections.Counter", counter},
    {"torch._utils._rebuild_tensor", tensor},
    {"torch._utils._rebuild_tensor_v2", tensor},
    {"torch._utils._rebuild_tensor_v3", tensor_of_dtype},
    {"torch._utils._rebuild_qtensor", quantised_tensor},
    {"torch._utils._rebuild_sparse_tensor", sparse_tensor},
    {"torch._utils._rebuild_sparse_csr_tensor", sparse_tensor},
    {"torch._utils._rebuild_nested_tensor", nested_tensor},
    {"torch._utils._rebuild_meta_tensor_no_storage", meta_tensor},
    {"torch._utils._rebuild_wrapper_subclass", wrapper_tensor},
    {"torch._utils._rebuild_parameter", parameter},
    {"torch._utils._rebuild_parameter_with_state", parameter},
    {"torch._utils._rebuild_device_tensor_from_cpu_tensor", device_tensor},
    {"torch._utils._rebuild_device_tensor_from_numpy", foreign_tensor},
    {"torch._utils._rebuild_xla_tensor", foreign_tensor},
    {"torch._tensor._rebuild_from_type_v2", typed_tensor},
    {"torch._tensor._rebuild_from_type", typed_tensor},
    {"torch.nn.parameter.Parameter", parameter},
    {"torch.nn.parameter.Buffer", parameter},
    {"torch.Tensor", empty_tensor},
    {"torch.Size", size},
    {"torch.device", opaque},
    {"torch.serialization._get_layout", opaque},
    {"torch.per_tensor_affine", none},
    {"torch.per_tensor_symmetric", none},
    {"torch.per_channel_affine", none},
    {"torch.per_channel_symmetric", none},
    {"torch.per_channel_affine_float_qparams", none},
    {"_codecs.encode", opaque},
    {"builtins.bytearray", opaque},
    {"builtins.set", opaque},
    {"builtins.frozenset", opaque},
    {"builtins.complex", opaque},
    {"__builtin__.bytearray", opaque},
    {"__builtin__.set", opaque},
    {"__builtin__.frozenset", opaque},
    {"__builtin__.complex", opaque},
    {"numpy.dtype", opaque},
    {"numpy.ndarray", opaque},
    {"numpy.core.multiarray.scalar", opaque},
    {"numpy.core.multiarray._reconstruct", opaque},
    {"numpy._core.multiarray.scalar", opaque},
    {"numpy._core.multiarray._reconstruct", opaque},
    {"numpy.core.numeric._frombuffer", opaque},
    {"numpy._core.numeric._frombuffer", opaque},
};

constexpr ElementName kElements[] = {
    {"DoubleStorage", "float64", DType::f64, 8},
    {"FloatStorage", "float32", DType::f32, 4},
    {"HalfStorage", "float16", DType::f16, 2},
    {"BFloat16Storage", "bfloat16", DType::bf16, 2},
    {"LongStorage", "int64", DType::i64, 8},
    {"IntStorage", "int32", DType::i32, 4},
    {"ShortStorage", "int16", DType::i16, 2},
    {"CharStorage", "int8", DType::i8, 1},
    {"ByteStorage", "uint8", DType::u8, 1},
    {"BoolStorage", "bool", DType::boolean, 1},
    {"ComplexFloatStorage", "complex64", DType::unknown, 8},
    {"ComplexDoubleStorage", "complex128", DType::unknown, 16},
    {"QInt8Storage", "qint8", DType::unknown, 1},
    {"QUInt8Storage", "quint8", DType::unknown, 1},
    {"QInt32Storage", "qint32", DType::unknown, 4},
    {"QUInt4x2Storage", "quint4x2", DType::unknown, 1},
    {"QUInt2x4Storage", "quint2x4", DType::unknown, 1},
    {"UntypedStorage", "", DType::u8, 1},
    {"", "complex32", DType::unknown, 4},
    {"", "uint16", DType::u16, 2},
    {"", "uint32", DType::u32, 4},
    {"", "uint64", DType::u64, 8},
    {"", "float8_e4m3fn", DType::f8_e4m3, 1},
    {"", "float8_e5m2", DType::f8_e5m2, 1},
    {"", "float8_e4m3fnuz", DType::unknown, 1},
    {"", "float8_e5m2fnuz", DType::unknown, 1},
    {"", "float8_e8m0fnu", DType::unknown, 1},
    {"", "float4_e2m1fn_x2", DType::unknown, 1},
};

constexpr std::size_t kNElements = std::size(kElements);

/// The two columns of names, as entries.
constexpr auto kStorages = [] {
  std::array<PickleGlobal, kNElements> entries{};
  for (std::size_t i = 0; i < kNElements; ++i)
    entries[i] = {kElements[i].storage, none, kElements[i].type, kElements[i].bytes};
  return entries;
}();
constexpr auto kDtypes = [] {
  std::array<PickleGlobal, kNElements> entries{};
  for (std::size_t i = 0; i < kNElements; ++i)
    entries[i] = {kElements[i].dtype, none, kElements[i].type, kElements[i].bytes};
  return entries;
}();
/// torch.FloatTensor and the like, in files of 2017.
constexpr PickleGlobal kTensorClass{"torch tensor class", empty_tensor};
/// numpy.dtypes.Float64DType and the like.
constexpr PickleGlobal kNumpyDtype{"numpy dtype", opaque};

bool is_tensor_class(std::string_view name) {
  constexpr std::string_view kEnd = "Tensor";
  if (!name.ends_with(kEnd)) return false;
  name.remove_suffix(kEnd.size());
  for (const ElementName& element : kElements)
    if (!element.storage.empty() && element.storage.substr(0, element.storage.size() - 7) == name)
      return true;
  return false;
}

const PickleGlobal* in(const std::array<PickleGlobal, kNElements>& list, std::string_view name) {
  for (const PickleGlobal& entry : list)
    if (!name.empty() && entry.name == name) return &entry;
  return nullptr;
}

}  // namespace

const PickleGlobal* find_pickle_global(std::string_view module, std::string_view name) {
  if (module == "torch" || module == "torch.cuda" || module == "torch.storage") {
    if (const PickleGlobal* storage = in(kStorages, name)) return storage;
    if (const PickleGlobal* dtype = module == "torch" ? in(kDtypes, name) : nullptr) return dtype;
    if (is_tensor_class(name)) return &kTensorClass;
  }
  if (module == "numpy.dtypes" && name.ends_with("DType")) return &kNumpyDtype;
  for (const PickleGlobal& entry : kCalls)
    if (entry.name.size() == module.size() + 1 + name.size() && entry.name.starts_with(module) &&
        entry.name[module.size()] == '.' && entry.name.ends_with(name))
      return &entry;
  return nullptr;
}

}  // namespace deadray
