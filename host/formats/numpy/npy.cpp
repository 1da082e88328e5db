#include "host/formats/numpy/npy.h"

#include <string>
#include <string_view>
#include <type_traits>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/base/input_file.h"
#include "host/formats/numpy/npy_header.h"

namespace deadray {
namespace {

template <typename Stored>
std::vector<std::int64_t> read_values(const InputFile& file, const NpyHeader& header,
                                      std::int64_t count) {
  std::vector<Stored> stored(static_cast<std::size_t>(count));
  file.read(header.data_begin, stored.size() * sizeof(Stored), stored.data());
  if constexpr (std::is_same_v<Stored, std::int64_t>) return stored;
  return std::vector<std::int64_t>(stored.begin(), stored.end());
}

}  // namespace

IntegerMatrix read_npy(const std::filesystem::path& path) {
  const InputFile file(path);
  const std::string where = path.string();
  const NpyHeader header = read_npy_header(file, 0, file.size(), where);
  const std::vector<std::int64_t>& shape = header.shape;
  const auto fail = [&](std::string_view problem) {
    throw MalformedError(fmt::format("{}: {}", where, problem));
  };
  const bool wide = header.descr == "<i8";
  if (!wide && header.descr != "<i4")
    fail(
        fmt::format("dtype {}, expected '<i4' or '<i8' (little-endian int32 or int64): save "
                    "array.astype('int32')",
                    in_quotes(header.descr)));
  if (header.fortran_order)
    fail("Fortran order, expected C order: save numpy.ascontiguousarray(array)");
  if (shape.size() != 1 && shape.size() != 2)
    fail(
        fmt::format("shape ({}) of rank {}, expected rank 2 [rows, columns] or rank 1: save "
                    "array.reshape(rows, columns)",
                    fmt::join(shape, ", "), shape.size()));

  IntegerMatrix matrix;
  matrix.rows = shape.size() == 2 ? shape[0] : 1;
  matrix.columns = shape.back();
  const std::uint64_t bytes = npy_bytes(header, wide ? 8 : 4, where);
  const std::int64_t count = matrix.rows * matrix.columns;
  if (count == 0)
    fail(fmt::format("shape ({}) holds no elements: {}", fmt::join(shape, ", "), kSaveAgain));
  const std::uint64_t found = file.size() - header.data_begin;
  if (found != bytes)
    fail(fmt::format("{} bytes of data, expected {} for shape ({}) of {}: {}: {}", found, bytes,
                     fmt::join(shape, ", "), header.descr,
                     found < bytes ? "truncated" : "trailing bytes", kSaveAgain));
  matrix.values = wide ? read_values<std::int64_t>(file, header, count)
                       : read_values<std::int32_t>(file, header, count);
  file.require_same_content();
  return matrix;
}

}  // namespace deadray
