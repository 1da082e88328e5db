#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "host/architecture/config.h"
#include "host/formats/checkpoint.h"

namespace deadray {

/// The keys of a GGUF file with typed access. Those of its architecture are asked for by what
/// follows the architecture's name: "embedding_length". Complaints name file and key.
class GgufKeys {
 public:
  /// @throws MalformedError without general.architecture
  explicit GgufKeys(const Checkpoint& checkpoint);

  const std::string& architecture() const noexcept { return architecture_; }
  const std::filesystem::path& file() const noexcept { return all_.path(); }
  /// All of them under their full names.
  const Config& all() const noexcept { return all_; }
  /// "llama.embedding_length" of "embedding_length".
  std::string own(std::string_view key) const;

  /// Whether there is such a key of the architecture. A 0 is how converters say that there is none.
  bool has(std::string_view key) const;
  /// A size that is the same in all blocks.
  /// @throws MalformedError when absent or no size; UnsupportedError where blocks differ
  std::int64_t size(std::string_view key) const;
  std::int64_t size(std::string_view key, std::int64_t fallback) const;
  double positive(std::string_view key) const;
  double positive(std::string_view key, double fallback) const;

 private:
  std::string alike(std::string_view key) const;

  Config all_;
  std::string architecture_;
};

/// Refuses what else GGUF files hold, some of which has a model's architecture too.
/// @throws UnsupportedError an adapter, a projector, a vocabulary alone
void require_gguf_model(const Checkpoint& checkpoint, const GgufKeys& keys);

}  // namespace deadray
