#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace deadray {

/// A matrix of integers, row-major.
struct IntegerMatrix {
  std::vector<std::int64_t> values;  ///< rows * columns
  std::int64_t rows = 0, columns = 0;
};

/// Reads a NumPy .npy file (format 1, 2 or 3) of little-endian int32 or int64 in C order, rank 2,
/// or rank 1 as one row.
/// @throws MalformedError for anything else, and for an array without elements; names what was
/// found
IntegerMatrix read_npy(const std::filesystem::path& file);

}  // namespace deadray
