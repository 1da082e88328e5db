#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "host/base/atomic_file.h"
#include "host/formats/dtype.h"

namespace deadray {

/// What a tensor will be before its bytes are known.
struct TensorDeclaration {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
};

/// Writes a safetensors file piece by piece. All tensors are declared first; then their bytes are
/// appended in that order, in pieces of any size. The file appears under its name when finish()
/// succeeds, and never in part. Data begin at a multiple of 8 bytes.
class SafetensorsWriter {
 public:
  /// Writes the header.
  /// @throws ResourceError missing or read-only folder; no room on the disk, with the bytes needed
  /// @throws std::invalid_argument a name twice or "__metadata__", an unknown dtype, a negative or
  /// overflowing shape
  SafetensorsWriter(const std::filesystem::path& file,
                    const std::vector<TensorDeclaration>& tensors,
                    const std::map<std::string, std::string>& metadata = {});

  /// @throws ResourceError; std::invalid_argument beyond the declared bytes
  void append(std::span<const std::byte> bytes);
  /// @throws ResourceError; std::invalid_argument when declared bytes are still missing
  void finish();

 private:
  struct Plan {
    std::string header;  // length and padding included
    std::uint64_t data_bytes = 0;
  };
  static Plan plan(const std::filesystem::path& file, const std::vector<TensorDeclaration>& tensors,
                   const std::map<std::string, std::string>& metadata);
  SafetensorsWriter(const Plan& plan, const std::filesystem::path& file);

  AtomicFile file_;
  std::uint64_t missing_;
};

}  // namespace deadray
