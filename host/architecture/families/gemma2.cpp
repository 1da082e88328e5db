#include <cmath>
#include <nlohmann/json.hpp>

#include "host/architecture/families/common.h"
#include "host/architecture/families/gemma.h"

namespace deadray {

// Gemma 2: sandwich norms, soft-caps of scores and logits, a sliding window in every other block,
// the first included.
Architecture describe_gemma2(const Config& given) {
  const Config config = given.with_defaults({{"num_key_value_heads", 4},
                                             {"head_dim", 256},
                                             {"query_pre_attn_scalar", 256},
                                             {"sliding_window", 4096},
                                             {"attn_logit_softcapping", 50.0},
                                             {"final_logit_softcapping", 30.0},
                                             {"pad_token_id", 0},
                                             {"tie_word_embeddings", true}});
  config.runs_only("use_bidirectional_attention", false, "causal attention");
  Architecture a = gemma_like(config, "gemma2", "hidden_activation");
  use_sandwich_norms(a);
  AttentionSpec& attention = a.block_kinds[0].attention;
  attention.scale = 1.0 / std::sqrt(config.positive("query_pre_attn_scalar"));
  attention.score_soft_cap = config.positive("attn_logit_softcapping", 0.0);
  const double logit_cap = config.positive("final_logit_softcapping", 0.0);
  if (a.head) a.head->soft_cap = logit_cap;
  const auto sliding =
      sliding_blocks(config, a.n_blocks, [](std::int64_t block) { return block % 2 == 0; });
  change_blocks(a, sliding, [&](BlockSpec& block) {
    block.attention.window = config.integer("sliding_window");
  });
  return a;
}

}  // namespace deadray
