#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "host/architecture/families/qwen.h"
#include "host/base/error.h"

namespace deadray {

void use_windows_of_qwen(const Config& config, Architecture& architecture) {
  const std::int64_t given = config.integer("sliding_window", 0);
  const double first = config.non_negative("max_window_layers", 28);
  const std::int64_t window = config.flag("use_sliding_window", false) ? given : 0;
  const auto sliding = sliding_blocks(config, architecture.n_blocks, [&](std::int64_t block) {
    return window > 0 && static_cast<double>(block) >= first;
  });
  if (window == 0 && std::find(sliding.begin(), sliding.end(), true) != sliding.end())
    throw MalformedError(
        fmt::format("{}: layer_types has sliding_attention, but no window: use_sliding_window is "
                    "false or sliding_window null",
                    config.path().string()));
  change_blocks(architecture, sliding, [&](BlockSpec& block) { block.attention.window = window; });
}

// Qwen3: Llama with RMSNorms over each head of queries and keys; head_dim is a key of its own.
Architecture describe_qwen3(const Config& given) {
  const Config config = given.with_defaults(
      {{"num_key_value_heads", 32}, {"head_dim", 128}, {"sliding_window", 4096}});
  const bool bias = config.flag("attention_bias", false);
  Architecture a = llama_like(config, "qwen3", {.qkv_bias = bias, .out_bias = bias});
  add_query_key_norms(a);
  use_windows_of_qwen(config, a);
  return a;
}

}  // namespace deadray
