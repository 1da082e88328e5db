#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "host/formats/gguf/head_reader.h"

namespace deadray {

/// Keys and values of a GGUF file.
struct GgufMetadata {
  /// As ContainerHeader::metadata says. Numbers are the shortest that read back as the stored
  /// ones: float32 0.00001 is 1e-05. NaN and infinities are the strings "NaN", "Infinity",
  /// "-Infinity".
  std::map<std::string, std::string> values;
  std::uint64_t alignment = 32;  ///< of the tensors' data, in bytes
};

/// @param head   at the first key; afterwards behind the last value
/// @param count  as the file says, unchecked
/// @throws MalformedError an empty key, one twice, a value that is damaged or past the end, an
/// array of arrays
GgufMetadata read_gguf_metadata(GgufHeadReader& head, std::uint64_t count);

/// A name as it may stand in messages and records.
/// @throws MalformedError for one that is empty, very long or not UTF-8
std::string read_gguf_name(GgufHeadReader& head);

}  // namespace deadray
