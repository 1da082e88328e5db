#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "host/base/input_file.h"

namespace deadray {

/// The bytes of a tar archive's member, counted from the file's start.
struct TarMember {
  std::uint64_t begin = 0, end = 0;
};
using TarMembers = std::map<std::string, TarMember, std::less<>>;

/// Whether a file begins with the header of a tar archive (ustar, pax) whose checksum is right.
bool looks_like_tar(const InputFile& file);

/// The members by name, the first thousand; of equal names the last.
/// @throws MalformedError damaged or cut off; names the byte
TarMembers read_tar_members(const InputFile& file);

}  // namespace deadray
