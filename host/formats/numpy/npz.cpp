#include "host/formats/numpy/npz.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/base/utf8.h"
#include "host/formats/numpy/npy_header.h"
#include "host/formats/strided_order.h"
#include "host/formats/zip/zip_directory.h"

namespace deadray {
namespace {

constexpr std::string_view kExtension = ".npy";

/// NumPy's codes, without the mark of their byte order.
constexpr std::pair<std::string_view, DType> kNumpyTypes[] = {
    {"f8", DType::f64}, {"f4", DType::f32}, {"f2", DType::f16}, {"i8", DType::i64},
    {"i4", DType::i32}, {"i2", DType::i16}, {"i1", DType::i8},  {"u8", DType::u64},
    {"u4", DType::u32}, {"u2", DType::u16}, {"u1", DType::u8},  {"b1", DType::boolean},
};

DType dtype_of(const std::string& descr, const std::string& where) {
  const std::string_view code = std::string_view(descr).substr(descr.empty() ? 0 : 1);
  if (code == "O" || descr == "O")
    throw UnsupportedError(fmt::format("{}: an array of Python objects; save numbers only", where));
  for (const auto& [name, type] : kNumpyTypes) {
    if (code != name) continue;
    if (descr[0] == '<' || descr[0] == '|') return type;
    if (descr[0] == '>')
      throw UnsupportedError(
          fmt::format("{}: dtype {} is big-endian, deadray reads little-endian: save "
                      "array.astype(array.dtype.newbyteorder('<'))",
                      where, in_quotes(descr)));
  }
  return DType::unknown;
}

std::vector<std::int64_t> fortran_strides(const std::vector<std::int64_t>& shape) {
  std::vector<std::int64_t> strides;
  std::int64_t stride = 1;
  for (const std::int64_t size : shape) {
    strides.push_back(stride);
    stride *= size;
  }
  return strides;
}

TensorInfo read_array(const InputFile& file, const ZipMember& member, std::uint64_t begin,
                      const std::string& where) {
  const std::uint64_t end = begin + member.bytes;
  const NpyHeader header = read_npy_header(file, begin, end, where);
  TensorInfo tensor;
  tensor.name = member.name.substr(0, member.name.size() - kExtension.size());
  tensor.dtype = dtype_of(header.descr, where);
  tensor.stored_dtype =
      tensor.dtype == DType::unknown ? header.descr : std::string(to_string(tensor.dtype));
  tensor.shape = header.shape;
  tensor.offset = header.data_begin;
  tensor.bytes = end - header.data_begin;
  const std::uint64_t size = size_of(tensor.dtype), expected = npy_bytes(header, size, where);
  if (tensor.dtype != DType::unknown && expected != tensor.bytes)
    throw MalformedError(fmt::format("{}: {} bytes of data, expected {} for shape ({}) of {}: {}",
                                     where, tensor.bytes, expected, fmt::join(tensor.shape, ", "),
                                     header.descr, kSaveAgain));
  if (header.fortran_order) tensor.rows = strided_rows(tensor.shape, fortran_strides(tensor.shape));
  return tensor;
}

void refuse_member(const ZipMember& member, const std::string& where) {
  if (!std::string_view(member.name).ends_with(kExtension))
    throw UnsupportedError(fmt::format("{}: expected arrays (.npy) alone: {}", where, kSaveAgain));
  if (!member.is_plain())
    throw UnsupportedError(
        fmt::format("{}: is compressed ({} bytes out of {}): save it with numpy.savez(), not "
                    "numpy.savez_compressed()",
                    where, member.bytes, member.stored));
  if (first_ill_formed(member.name) != std::string::npos)
    throw MalformedError(fmt::format("{}: its name is not UTF-8: {}", where, kSaveAgain));
}

}  // namespace

bool looks_like_npz(const InputFile& file) {
  std::string first;
  return looks_like_zip(file, first) && first.ends_with(kExtension);
}

ContainerHeader read_npz_header(const InputFile& file, const CheckpointOptions& options,
                                std::size_t file_index) {
  ZipDirectory zip(file, options.max_header_bytes);
  ContainerHeader header;
  header.format = ContainerFormat::numpy;
  for (const ZipMember& member : zip.members()) {
    const std::string where =
        fmt::format("{}: array {}", file.path().string(), in_quotes(member.name));
    refuse_member(member, where);
    const std::uint64_t begin = zip.data_begin(member);
    TensorInfo tensor = read_array(file, member, begin, where);
    header.bytes += tensor.offset - begin;
    tensor.file = file_index;
    header.tensors.push_back(std::move(tensor));
  }
  std::sort(header.tensors.begin(), header.tensors.end(),
            [](const TensorInfo& a, const TensorInfo& b) { return a.name < b.name; });
  header.bytes += zip.bytes_read();
  return header;
}

}  // namespace deadray
