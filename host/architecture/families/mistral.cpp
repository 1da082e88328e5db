#include <nlohmann/json.hpp>

#include "host/architecture/families/llama.h"

namespace deadray {

// Mistral: Llama with a sliding window in every block; null means none, an absent key 4096.
Architecture describe_mistral(const Config& given) {
  const Config config = given.with_defaults({{"num_key_value_heads", 8}, {"sliding_window", 4096}});
  Architecture a = llama_like(config, "mistral", {});
  use_window(config, a);
  return a;
}

}  // namespace deadray
