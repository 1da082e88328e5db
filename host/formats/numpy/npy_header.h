#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "host/base/input_file.h"

namespace deadray {

/// What to do about an array that is damaged or of another kind: the end of a message.
inline constexpr std::string_view kSaveAgain = "save it again with NumPy";

/// What a NumPy array says of itself, in a .npy file or a member of an .npz archive.
struct NpyHeader {
  std::string descr;  ///< as written: "<i4", or with its brackets where the type is a structure
  bool fortran_order = false;
  std::vector<std::int64_t> shape;
  std::uint64_t data_begin = 0;  ///< counted from the file's start
};

/// Reads the header of an array (format 1, 2 or 3) that takes the file's bytes `begin` to `end`.
/// @param where  what a message begins with: the file, and the member
/// @throws MalformedError naming the character, what was found and expected
NpyHeader read_npy_header(const InputFile& file, std::uint64_t begin, std::uint64_t end,
                          const std::string& where);

/// Bytes that the array should have behind its header.
/// @throws MalformedError where that overflows
std::uint64_t npy_bytes(const NpyHeader& header, std::uint64_t element_bytes,
                        const std::string& where);

}  // namespace deadray
