#include <nlohmann/json.hpp>

#include "host/architecture/families/qwen.h"

namespace deadray {

// Qwen2: Llama with biases on queries, keys and values alone; the last blocks may have a sliding
// window.
Architecture describe_qwen2(const Config& given) {
  const Config config =
      given.with_defaults({{"num_key_value_heads", 32}, {"sliding_window", 4096}});
  Architecture a = llama_like(config, "qwen2", {.qkv_bias = true});
  use_windows_of_qwen(config, a);
  return a;
}

}  // namespace deadray
