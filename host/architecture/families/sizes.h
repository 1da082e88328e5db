#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "host/architecture/config.h"

// The sizes of a model, and the keys of config.json that hold them.
namespace deadray {

/// Where config.json keeps one size.
struct SizeKey {
  SizeKey() = default;
  SizeKey(const char* name) : names{name} {}
  /// A size that may be absent or null.
  SizeKey(const char* name, std::int64_t value) : names{name}, fallback(value) {}
  /// Transformers reads some sizes under two names. The first one that is there counts.
  SizeKey(const char* first, const char* second) : names{first, second} {}

  std::vector<std::string_view> names;  ///< none: no key holds it
  std::int64_t fallback = 0;            ///< 0: the key must be there
};

/// The keys of one family, read in this order. What stands here is what most families call them.
struct SizeKeys {
  SizeKey hidden = "hidden_size";
  SizeKey blocks = "num_hidden_layers";
  SizeKey heads = "num_attention_heads";
  SizeKey kv_heads{};  ///< absent from the file: as many as heads
  SizeKey mlp_width = "intermediate_size";
  std::int64_t mlp_ratio = 0;  ///< the MLP's width where no key gives it, in hidden sizes
  SizeKey vocab = "vocab_size";
  SizeKey positions{};
  SizeKey table_width{};  ///< absent from the file: the hidden size
  SizeKey head_dim{};     ///< absent from the file: hidden size / heads
};

/// 0 where the family has no such size.
struct Sizes {
  std::int64_t d = 0;  ///< width of the residual stream
  std::int64_t n_blocks = 0;
  std::int64_t n_heads = 0, n_kv_heads = 0, head_dim = 0;
  std::int64_t mlp_width = 0;
  std::int64_t vocab = 0;
  std::int64_t positions = 0;    ///< longest sequence
  std::int64_t table_width = 0;  ///< of the token table
};

/// @throws MalformedError naming the key of a size that is missing or none, and both keys where
/// heads do not divide what is split among them
Sizes read_sizes(const Config& config, const SizeKeys& keys);

/// Rotary positions turn the dimensions of a head in pairs.
/// @throws MalformedError for an odd number of dimensions
void require_rotary_pairs(const Config& config, std::int64_t head_dim);

/// total / parts. @throws MalformedError when it does not divide
std::int64_t divide(const Config& config, std::string_view total_key, std::int64_t total,
                    std::string_view parts_key, std::int64_t parts);

}  // namespace deadray
