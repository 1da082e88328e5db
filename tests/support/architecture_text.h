#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string>

#include "host/architecture/architecture.h"

// A description as text, line by line, so that two can be compared and the difference read.
namespace deadray::test {

inline std::string text_of(const TensorSpec& tensor) {
  return fmt::format("{} [{}] zero row {}", tensor.name, fmt::join(tensor.shape, ", "),
                     tensor.init.zero_row);
}

inline std::string text_of(const LinearSpec& map) {
  std::string text =
      fmt::format("{} to {}, storage {}:", map.inputs, map.outputs, static_cast<int>(map.storage));
  for (const auto* parts : {&map.weights, &map.biases})
    for (const TensorSpec& part : *parts) text += " " + text_of(part);
  return text;
}

/// Without the offset of the scale, which is the container's affair too.
inline std::string text_of(const NormSpec& norm) {
  return fmt::format("{} {} [{} of {}] eps {} shift {} scale {} fp32 {}", norm.name,
                     to_string(norm.kind), norm.rows, norm.width, norm.eps, norm.has_bias,
                     norm.has_scale, norm.scales_in_fp32);
}

inline std::string text_of(const Rope& rope) {
  return fmt::format("scaling {} pairing {} theta {} dims {} axes {} pairs {} by {} {} {} of {}",
                     static_cast<int>(rope.scaling), static_cast<int>(rope.pairing), rope.theta,
                     rope.rotated_dims, rope.axes, rope.turning_pairs, rope.factor,
                     rope.low_frequency_factor, rope.high_frequency_factor,
                     rope.original_max_positions);
}

inline std::string text_of(const AttentionSpec& a) {
  std::string text =
      fmt::format("heads {} {} of {}, causal {} scale {} window {} clip {} cap {} packing {}",
                  a.n_heads, a.n_kv_heads, a.head_dim, a.causal, a.scale, a.window, a.clip,
                  a.score_soft_cap, static_cast<int>(a.packing));
  if (a.rope) text += "\n  rope " + text_of(*a.rope);
  if (a.alibi) text += "\n  alibi";
  for (const auto* norm : {&a.query_norm, &a.key_norm, &a.value_norm})
    if (*norm) text += "\n  " + text_of(**norm);
  return text + "\n  qkv " + text_of(a.qkv) + "\n  out " + text_of(a.out);
}

inline std::string text_of(const BlockSpec& block) {
  std::string text = fmt::format("block wiring {}\n", static_cast<int>(block.wiring));
  for_each_norm(block, [&](const NormSpec& norm) { text += "  " + text_of(norm) + "\n"; });
  text += "  " + text_of(block.attention);
  text += fmt::format("\n  mlp activation {} gated {}\n  in {}\n  out {}",
                      static_cast<int>(block.mlp.activation), block.mlp.gated,
                      text_of(block.mlp.in), text_of(block.mlp.out));
  if (const auto& routing = block.mlp.routing)
    text += fmt::format("\n  {} of {} experts, normalises {} fp32 {}: {}", routing->per_token,
                        routing->n_experts, routing->normalises, routing->weights_in_fp32,
                        text_of(routing->router));
  return text;
}

/// Of language models.
inline std::string text_of(const Architecture& a) {
  std::string text = fmt::format("{}: {} blocks of {}, vocabulary {}, positions {}, kinds {}\n",
                                 a.family, a.n_blocks, a.hidden_size, a.vocab_size, a.max_positions,
                                 fmt::join(a.kind_of, " "));
  for (const BlockSpec& kind : a.block_kinds) text += text_of(kind) + "\n";
  for (const auto* norm : {&a.input_norm, &a.final_norm})
    if (*norm) text += text_of(**norm) + "\n";
  text += fmt::format("{} scale {} offset {}\n", text_of(a.tokens->table), a.tokens->scale,
                      a.tokens->position_offset);
  for (const auto* table : {&a.tokens->positions, &a.tokens->types})
    if (*table) text += text_of(**table) + "\n";
  if (a.head)
    text += fmt::format("head {} tied {} scale {} cap {}\n", text_of(a.head->decoder), a.head->tied,
                        a.head->scale, a.head->soft_cap);
  if (a.pooler) text += "pooler " + text_of(*a.pooler) + "\n";
  return text + fmt::format("not run: {}", a.not_run.size());
}

}  // namespace deadray::test
