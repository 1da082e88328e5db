#include <nlohmann/json.hpp>

#include "host/architecture/families/llama.h"

namespace deadray {

// Mistral: Llama with a sliding window in every block; null means none, an absent key 4096.
Architecture describe_mistral(const Config& given) {
  const Config config = given.with_defaults({{"num_key_value_heads", 8}, {"sliding_window", 4096}});
  Architecture a = llama_like(config, "mistral", {});
  if (config.has("sliding_window"))
    a.block_kinds[0].attention.window = config.integer("sliding_window");
  return a;
}

}  // namespace deadray
