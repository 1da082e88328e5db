#include "host/architecture/gguf/gguf_table.h"

#include <algorithm>
#include <utility>

#include "host/architecture/gguf/gguf_rules.h"

namespace deadray {
namespace {

using Kind = GgufKey::Kind;
using Need = GgufKey::Need;
using Tensors = std::vector<GgufTensor>;
using Keys = std::vector<GgufKey>;

template <class List>
List joined(List first, const List& more) {
  first.insert(first.end(), more.begin(), more.end());
  return first;
}

const GgufRows kVocabulary{"token_embd.weight", "vocab_size"};
const GgufMark kOutputBias{"blk.0.attn_output.bias", "attention_bias"};
// Of these the converter writes a width that it does not look up.
const GgufRows kMlpWidth{"blk.0.ffn_up.weight", "intermediate_size"};

/// Sizes under the names of most configurations.
Keys usual_sizes() {
  return {{"embedding_length", "hidden_size"},
          {"block_count", "num_hidden_layers", Kind::count},
          {"attention.head_count", "num_attention_heads"},
          {"context_length", "max_position_embeddings", Kind::size, Need::optional}};
}

const GgufKey kMlpKey{"feed_forward_length", "intermediate_size"};
const GgufKey kKeyHeads{"attention.head_count_kv", "num_key_value_heads", Kind::size,
                        Need::optional, "num_attention_heads"};

GgufKey layer_norm_eps(std::string_view config) {
  return {"attention.layer_norm_epsilon", config, Kind::real};
}
GgufKey rms_norm_eps() { return {"attention.layer_norm_rms_epsilon", "rms_norm_eps", Kind::real}; }

/// Where the tensors of a decoder of Llama's kin are; `order` of queries and keys.
Tensors llama_tensors(GgufOrder queries = GgufOrder::as_is, GgufOrder keys = GgufOrder::as_is) {
  const std::string block = "blk.{}.", layer = "model.layers.{}.";
  return {{"token_embd", "model.embed_tokens"},
          {"output_norm", "model.norm"},
          {"output", "lm_head"},
          {"rope_freqs", ""},
          {block + "attn_rot_embd", ""},
          {block + "attn_norm", layer + "input_layernorm"},
          {block + "attn_q", layer + "self_attn.q_proj", queries},
          {block + "attn_k", layer + "self_attn.k_proj", keys},
          {block + "attn_v", layer + "self_attn.v_proj"},
          {block + "attn_output", layer + "self_attn.o_proj"},
          {block + "ffn_norm", layer + "post_attention_layernorm"},
          {block + "ffn_gate", layer + "mlp.gate_proj"},
          {block + "ffn_up", layer + "mlp.up_proj"},
          {block + "ffn_down", layer + "mlp.down_proj"}};
}

Tensors query_key_norms() {
  const std::string layer = "model.layers.{}.self_attn.";
  return {{"blk.{}.attn_q_norm", layer + "q_norm"}, {"blk.{}.attn_k_norm", layer + "k_norm"}};
}

/// Llama's names, but for the norms on both sides of each sublayer.
Tensors sandwich_tensors() {
  const std::string block = "blk.{}.", layer = "model.layers.{}.";
  Tensors tensors = llama_tensors();
  std::erase_if(tensors,
                [&](const GgufTensor& tensor) { return tensor.stored == block + "ffn_norm"; });
  return joined(tensors, {{block + "post_attention_norm", layer + "post_attention_layernorm"},
                          {block + "ffn_norm", layer + "pre_feedforward_layernorm"},
                          {block + "post_ffw_norm", layer + "post_feedforward_layernorm"}});
}

/// Bloom's, Falcon's: a fused map whose rows are grouped by key head.
Tensors bloom_tensors() {
  const std::string block = "blk.{}.", layer = "transformer.h.{}.";
  return {{"token_embd", "transformer.word_embeddings"},
          {"output_norm", "transformer.ln_f"},
          {"output", "lm_head"},
          {block + "attn_qkv", layer + "self_attention.query_key_value", GgufOrder::grouped},
          {block + "attn_output", layer + "self_attention.dense"},
          {block + "ffn_up", layer + "mlp.dense_h_to_4h"},
          {block + "ffn_down", layer + "mlp.dense_4h_to_h"}};
}

GgufArchitecture llama_kin(std::string_view name, std::string_view model_type, Tensors tensors) {
  return {name,
          {},
          {{"model_type", model_type}},
          joined(usual_sizes(), {kMlpKey, kKeyHeads, rms_norm_eps()}),
          {kVocabulary},
          {},
          {say_head_dim, say_rotary},
          std::move(tensors)};
}

/// Gemma's norms: the converter adds the 1 that its files store them less.
GgufArchitecture gemma_kin(std::string_view name, std::string_view model_type, Tensors tensors) {
  GgufArchitecture gemma = llama_kin(name, model_type, std::move(tensors));
  gemma.constant["scales_are_whole"] = true;
  return gemma;
}

GgufArchitecture bert() {
  const std::string block = "blk.{}.", layer = "encoder.layer.{}.";
  return {"bert",
          {},
          {{"model_type", "bert"}, {"architectures", {"BertModel"}}},
          joined(usual_sizes(), {kMlpKey, layer_norm_eps("layer_norm_eps")}),
          {kVocabulary,
           {"position_embd.weight", "max_position_embeddings"},
           {"token_types.weight", "type_vocab_size"}},
          {},
          {},
          {{"token_embd", "embeddings.word_embeddings"},
           {"position_embd", "embeddings.position_embeddings"},
           {"token_types", "embeddings.token_type_embeddings"},
           {"token_embd_norm", "embeddings.LayerNorm"},
           {block + "attn_q", layer + "attention.self.query"},
           {block + "attn_k", layer + "attention.self.key"},
           {block + "attn_v", layer + "attention.self.value"},
           {block + "attn_output", layer + "attention.output.dense"},
           {block + "attn_output_norm", layer + "attention.output.LayerNorm"},
           {block + "ffn_up", layer + "intermediate.dense"},
           {block + "ffn_down", layer + "output.dense"},
           {block + "layer_output_norm", layer + "output.LayerNorm"}}};
}

GgufArchitecture bloom() {
  const std::string block = "blk.{}.", layer = "transformer.h.{}.";
  return {"bloom",
          {},
          {{"model_type", "bloom"}},
          joined(usual_sizes(), {layer_norm_eps("layer_norm_epsilon")}),
          {kVocabulary},
          {},
          {},
          joined(bloom_tensors(), {{"token_embd_norm", "transformer.word_embeddings_layernorm"},
                                   {block + "attn_norm", layer + "input_layernorm"},
                                   {block + "ffn_norm", layer + "post_attention_layernorm"}})};
}

GgufArchitecture command_r() {
  GgufArchitecture cohere =
      llama_kin("command-r", "cohere", joined(llama_tensors(), query_key_norms()));
  cohere.keys = joined(usual_sizes(), {kMlpKey,
                                       kKeyHeads,
                                       layer_norm_eps("layer_norm_eps"),
                                       {"logit_scale", "logit_scale", Kind::real, Need::optional}});
  cohere.marks = {kOutputBias, {"blk.0.attn_q_norm.weight", "use_qk_norm"}};
  return cohere;
}

GgufArchitecture falcon() {
  const std::string block = "blk.{}.", layer = "transformer.h.{}.";
  return {"falcon",
          {},
          {{"model_type", "falcon"}, {"parallel_attn", true}, {"alibi", false}},
          joined(usual_sizes(), {layer_norm_eps("layer_norm_epsilon")}),
          {kVocabulary, {"blk.0.ffn_up.weight", "ffn_hidden_size"}},
          {{"blk.0.attn_qkv.bias", "bias"}},
          {say_rotary, say_falcon_decoder},
          joined(bloom_tensors(), {{block + "attn_norm", layer + "input_layernorm"}})};
}

/// Falcon's larger releases have a norm for each sublayer; the first of their names is the MLP's.
GgufArchitecture falcon_of_two_norms() {
  const std::string block = "blk.{}.", layer = "transformer.h.{}.";
  GgufArchitecture two = falcon();
  two.marked = "blk.0.attn_norm_2.weight";
  two.tensors = joined(bloom_tensors(), {{block + "attn_norm", layer + "ln_mlp"},
                                         {block + "attn_norm_2", layer + "ln_attn"}});
  return two;
}

GgufArchitecture gpt2() {
  const std::string block = "blk.{}.", layer = "transformer.h.{}.";
  constexpr GgufOrder kTransposed = GgufOrder::transposed;
  return {
      "gpt2",
      {},
      {{"model_type", "gpt2"}},
      {{"embedding_length", "n_embd"},
       {"block_count", "n_layer", Kind::count},
       {"attention.head_count", "n_head"},
       layer_norm_eps("layer_norm_epsilon")},
      {kVocabulary, {"position_embd.weight", "n_positions"}, {"blk.0.ffn_up.weight", "n_inner"}},
      {},
      {},
      {{"token_embd", "transformer.wte"},
       {"position_embd", "transformer.wpe"},
       {"output_norm", "transformer.ln_f"},
       {"output", "lm_head"},
       {block + "attn_norm", layer + "ln_1"},
       {block + "attn_qkv", layer + "attn.c_attn", kTransposed},
       {block + "attn_output", layer + "attn.c_proj", kTransposed},
       {block + "ffn_norm", layer + "ln_2"},
       {block + "ffn_up", layer + "mlp.c_fc", kTransposed},
       {block + "ffn_down", layer + "mlp.c_proj", kTransposed}}};
}

GgufArchitecture gpt_neox() {
  const std::string block = "blk.{}.", layer = "gpt_neox.layers.{}.";
  const GgufKey parallel{"use_parallel_residual", "use_parallel_residual", Kind::flag,
                         Need::optional};
  return {"gptneox",
          {},
          {{"model_type", "gpt_neox"}},
          joined(usual_sizes(), {kMlpKey, layer_norm_eps("layer_norm_eps"), parallel}),
          {kVocabulary},
          {{"blk.0.attn_qkv.bias", "attention_bias"}},
          {say_rotary},
          {{"token_embd", "gpt_neox.embed_in"},
           {"output_norm", "gpt_neox.final_layer_norm"},
           {"output", "embed_out"},
           {block + "attn_norm", layer + "input_layernorm"},
           {block + "attn_qkv", layer + "attention.query_key_value", GgufOrder::grouped},
           {block + "attn_output", layer + "attention.dense"},
           {block + "ffn_norm", layer + "post_attention_layernorm"},
           {block + "ffn_up", layer + "mlp.dense_h_to_4h"},
           {block + "ffn_down", layer + "mlp.dense_4h_to_h"}}};
}

GgufArchitecture llama() {
  const std::string block = "blk.{}.", mixture = "model.layers.{}.block_sparse_moe.";
  const Tensors experts = {{block + "ffn_gate_inp", mixture + "gate"},
                           {block + "ffn_gate_exps", mixture + "experts.{e}.w1"},
                           {block + "ffn_down_exps", mixture + "experts.{e}.w2"},
                           {block + "ffn_up_exps", mixture + "experts.{e}.w3"},
                           // older files
                           {block + "ffn_gate.{e}", mixture + "experts.{e}.w1"},
                           {block + "ffn_down.{e}", mixture + "experts.{e}.w2"},
                           {block + "ffn_up.{e}", mixture + "experts.{e}.w3"}};
  GgufArchitecture llama =
      llama_kin("llama", "llama",
                joined(llama_tensors(GgufOrder::rotary_queries, GgufOrder::rotary_keys), experts));
  llama.marks = {kOutputBias, {"blk.0.ffn_up.bias", "mlp_bias"}};
  llama.rules.push_back(say_mixtral);
  return llama;
}

GgufArchitecture olmo() {
  GgufArchitecture olmo =
      llama_kin("olmo", "olmo", llama_tensors(GgufOrder::rotary_queries, GgufOrder::rotary_keys));
  olmo.keys =
      joined(usual_sizes(),
             {kMlpKey, kKeyHeads, {"attention.clamp_kqv", "clip_qkv", Kind::real, Need::optional}});
  olmo.marks = {kOutputBias};
  return olmo;
}

GgufArchitecture phi2() {
  const std::string block = "blk.{}.", layer = "model.layers.{}.";
  return {"phi2",
          {},
          {{"model_type", "phi"}},
          joined(usual_sizes(), {kKeyHeads, layer_norm_eps("layer_norm_eps")}),
          {kVocabulary, kMlpWidth},
          {},
          {say_rotary},
          {{"token_embd", "model.embed_tokens"},
           {"output_norm", "model.final_layernorm"},
           {"output", "lm_head"},
           {block + "attn_norm", layer + "input_layernorm"},
           {block + "attn_q", layer + "self_attn.q_proj"},
           {block + "attn_k", layer + "self_attn.k_proj"},
           {block + "attn_v", layer + "self_attn.v_proj"},
           {block + "attn_output", layer + "self_attn.dense"},
           {block + "ffn_up", layer + "mlp.fc1"},
           {block + "ffn_down", layer + "mlp.fc2"}}};
}

GgufArchitecture qwen3(std::string_view name, std::string_view model_type) {
  GgufArchitecture qwen = llama_kin(name, model_type, joined(llama_tensors(), query_key_norms()));
  qwen.marks = {kOutputBias};
  return qwen;
}

GgufArchitecture qwen3_moe() {
  const std::string block = "blk.{}.", mlp = "model.layers.{}.mlp.";
  GgufArchitecture qwen = qwen3("qwen3moe", "qwen3_moe");
  qwen.constant["norm_topk_prob"] = true;  // as llama.cpp always does
  qwen.keys = joined(qwen.keys, {{"expert_count", "num_experts", Kind::count},
                                 {"expert_used_count", "num_experts_per_tok"},
                                 {"expert_feed_forward_length", "moe_intermediate_size"}});
  qwen.rules.push_back(say_dense_blocks);
  qwen.tensors = joined(qwen.tensors, {{block + "ffn_gate_inp", mlp + "gate"},
                                       {block + "ffn_gate_exps", mlp + "experts.{e}.gate_proj"},
                                       {block + "ffn_up_exps", mlp + "experts.{e}.up_proj"},
                                       {block + "ffn_down_exps", mlp + "experts.{e}.down_proj"}});
  return qwen;
}

GgufArchitecture gemma() {
  GgufArchitecture gemma = gemma_kin("gemma", "gemma", llama_tensors());
  gemma.constant["hidden_act"] = "gelu_pytorch_tanh";
  return gemma;
}

GgufArchitecture gemma2() {
  GgufArchitecture gemma = gemma_kin("gemma2", "gemma2", sandwich_tensors());
  gemma.keys =
      joined(gemma.keys,
             {{"attention.sliding_window", "sliding_window", Kind::size, Need::optional},
              {"attn_logit_softcapping", "attn_logit_softcapping", Kind::real, Need::optional},
              {"final_logit_softcapping", "final_logit_softcapping", Kind::real, Need::optional}});
  gemma.rules.push_back(say_score_scale);
  return gemma;
}

GgufArchitecture gemma3() {
  GgufArchitecture gemma =
      gemma_kin("gemma3", "gemma3_text", joined(sandwich_tensors(), query_key_norms()));
  gemma.keys =
      joined(gemma.keys,
             {{"attention.sliding_window", "sliding_window", Kind::size, Need::optional},
              {"final_logit_softcapping", "final_logit_softcapping", Kind::real, Need::optional}});
  gemma.rules = {say_head_dim, say_two_rotaries, say_score_scale, say_windows};
  return gemma;
}

}  // namespace

const std::vector<GgufArchitecture>& gguf_architectures() {
  static const std::vector<GgufArchitecture> kArchitectures = {
      bert(),
      bloom(),
      command_r(),
      falcon_of_two_norms(),
      falcon(),
      gemma(),
      gemma2(),
      gemma3(),
      gpt2(),
      gpt_neox(),
      llama(),
      olmo(),
      phi2(),
      llama_kin("qwen2", "qwen2", llama_tensors()),
      qwen3("qwen3", "qwen3"),
      qwen3_moe()};
  return kArchitectures;
}

const GgufArchitecture* find_gguf_architecture(const Checkpoint& checkpoint,
                                               std::string_view name) {
  const auto& all = gguf_architectures();
  const auto found = std::find_if(all.begin(), all.end(), [&](const GgufArchitecture& entry) {
    return entry.name == name && (entry.marked.empty() || checkpoint.find(entry.marked) != nullptr);
  });
  return found == all.end() ? nullptr : &*found;
}

}  // namespace deadray
