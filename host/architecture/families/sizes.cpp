#include "host/architecture/families/sizes.h"

#include <fmt/format.h>

#include <algorithm>

#include "host/base/error.h"

namespace deadray {

namespace {

/// The name under which the file has this size; the last one where it has none.
std::string_view name_in(const Config& config, const SizeKey& key) {
  if (key.names.size() == 1) return key.names[0];
  const auto found = std::find_if(key.names.begin(), key.names.end(),
                                  [&](std::string_view name) { return config.has(name); });
  return found == key.names.end() ? key.names.back() : *found;
}

/// @param fallback  0: the key must be there, or must have a fallback of its own
std::int64_t read_size(const Config& config, const SizeKey& key, std::int64_t fallback = 0) {
  if (key.names.empty()) return fallback;
  const std::string_view name = name_in(config, key);
  if (fallback == 0) fallback = key.fallback;
  return fallback == 0 ? config.integer(name) : config.integer(name, fallback);
}

}  // namespace

Sizes read_sizes(const Config& config, const SizeKeys& keys) {
  Sizes sizes;
  sizes.d = read_size(config, keys.hidden);
  sizes.n_blocks = config.count(name_in(config, keys.blocks));
  sizes.n_heads = read_size(config, keys.heads);
  sizes.n_kv_heads = read_size(config, keys.kv_heads, sizes.n_heads);
  sizes.mlp_width = read_size(config, keys.mlp_width, keys.mlp_ratio * sizes.d);
  sizes.vocab = read_size(config, keys.vocab);
  sizes.positions = read_size(config, keys.positions);
  sizes.table_width = read_size(config, keys.table_width, sizes.d);

  const std::string_view heads = name_in(config, keys.heads);
  if (!keys.kv_heads.names.empty())
    divide(config, heads, sizes.n_heads, name_in(config, keys.kv_heads), sizes.n_kv_heads);
  const bool has_head_dim =
      !keys.head_dim.names.empty() && config.has(name_in(config, keys.head_dim));
  sizes.head_dim =
      has_head_dim ? read_size(config, keys.head_dim)
                   : divide(config, name_in(config, keys.hidden), sizes.d, heads, sizes.n_heads);
  return sizes;
}

void require_rotary_pairs(const Config& config, std::int64_t head_dim) {
  divide(config, "head_dim", head_dim, "rotary pair", 2);
}

std::int64_t divide(const Config& config, std::string_view total_key, std::int64_t total,
                    std::string_view parts_key, std::int64_t parts) {
  if (total % parts != 0)
    throw MalformedError(fmt::format("{}: {} {} is not a multiple of {} {}", config.path().string(),
                                     total_key, total, parts_key, parts));
  return total / parts;
}

}  // namespace deadray
