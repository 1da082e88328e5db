#pragma once

#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "host/base/partial_file.h"
#include "host/formats/tensor_info.h"

// Which bytes of a file of weights the readers need, told from those that are here already.
namespace deadray {

/// Read of a file of which nothing is known: as much as a short header takes.
inline constexpr std::uint64_t kFirstPiece = 32 * 1024;

/// Whether a file of this name is one whose table stands at its end too: a zip archive.
bool has_table_at_end(std::string_view name);

/// What is wanted next to read the header of a partial file; nothing where it can be read. Reading
/// it may show that more is wanted.
/// @throws MalformedError, UnsupportedError  as the readers do
std::vector<ByteRange> wanted_for_header(const std::filesystem::path& file);

/// Of tensors that a look at the model may need before it tells which norms it has: those that are
/// called as norms, the divisors of rotary positions, the first and last row of tables of tokens.
std::vector<ByteRange> wanted_for_description(const TensorInfo& tensor);

}  // namespace deadray
