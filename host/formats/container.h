#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "host/formats/tensor_info.h"

// A container is a file of named tensors. Each format has one reader, a function
//   read_X_header(const InputFile&, const CheckpointOptions&, std::size_t file_index)
// that returns a ContainerHeader. Checkpoint calls it and reads the values itself.
namespace deadray {

enum class ContainerFormat : std::uint8_t { safetensors, pytorch, gguf, numpy };

/// How the files of a checkpoint are read.
struct CheckpointOptions {
  /// A longer header is refused; the default is safetensors' own limit.
  std::uint64_t max_header_bytes = 100'000'000;
  /// What would be a note becomes an error (trailing bytes, two sets of weights).
  bool strict = false;
};

/// A longer array of metadata (a vocabulary) is counted, not kept.
inline constexpr std::size_t kLongestListed = 4096;

/// What a container says about itself, whatever its format.
struct ContainerHeader {
  ContainerFormat format = ContainerFormat::safetensors;
  /// In order of name; names are unique, and every byte range lies inside the file.
  std::vector<TensorInfo> tensors;
  /// GGUF: each key's value as JSON. Of an array longer than kLongestListed its length alone, as
  /// {"count": n}.
  std::map<std::string, std::string> metadata;
  std::uint64_t bytes = 0;         ///< read to learn this; the tensors' data are not counted
  std::vector<std::string> notes;  ///< what the user should know although it is no error
};

}  // namespace deadray
