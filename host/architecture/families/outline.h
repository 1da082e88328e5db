#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "host/architecture/architecture.h"
#include "host/architecture/families/sizes.h"

// Builds what most models have from a few names. A family's file then adds what is its own.
namespace deadray {

/// A linear map stored as one tensor "<stem>.weight" (and "<stem>.bias") per part. Weights are
/// drawn from N(0, deviation), biases are 0.
/// @param parts  stem and outputs of each
LinearSpec linear(const std::vector<std::pair<std::string, std::int64_t>>& parts,
                  std::int64_t inputs, bool bias, double deviation,
                  Storage storage = Storage::out_in);

/// Lets the map's weights start from N(0, deviation) instead.
void draw_with(LinearSpec& map, double deviation);

/// A LayerNorm or RMSNorm without name and width. @param key  where config.json keeps its eps
NormSpec layer_norm(const Config& config, std::string_view key, double default_eps);
NormSpec rms_norm(const Config& config, std::string_view key, double default_eps);

/// `initializer_range`: the deviation with which weights are drawn.
double initializer_range(const Config& config);

/// What the parts of one stack have in common.
struct Parts {
  Sizes sizes{};
  double deviation = 0.02;
  NormSpec any_norm{};  ///< every norm, but for its name and width

  NormSpec norm(std::string name) const { return norm(std::move(name), sizes.d); }
  NormSpec norm(std::string name, std::int64_t width) const;
  LinearSpec linear(const std::vector<std::pair<std::string, std::int64_t>>& parts,
                    std::int64_t inputs, bool bias) const;
  /// The embedding "<stem>.weight" [rows, width].
  TensorSpec table(const std::string& stem, std::int64_t rows, std::int64_t width) const;
  Init normal() const { return {Init::Kind::normal, deviation}; }
};

/// What a block's tensors are called behind `layer`. What stands here is what most decoders call
/// them.
struct BlockNames {
  std::string layer = "layers.{}.";
  std::string attention_norm = "input_layernorm";
  std::string mlp_norm = "post_attention_layernorm";  ///< empty: the MLP reads attention_norm
  /// One name: queries, keys and values in one tensor. Two: the keys serve as values.
  std::vector<std::string> qkv = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"};
  std::string out = "self_attn.o_proj";
  std::vector<std::string> mlp_in = {"mlp.gate_proj", "mlp.up_proj"};  ///< one name: no gate
  std::string mlp_out = "mlp.down_proj";
  Storage storage = Storage::out_in;
};

/// Which of a block's linear maps have a bias.
struct Biases {
  bool qkv = true, out = true, mlp = true;
};
inline constexpr Biases kNoBiases{false, false, false};

/// What a model's tensors are called. What stands here is what most decoders call them.
struct ModelNames {
  std::vector<std::string> prefixes = {"model.", ""};
  std::string table = "embed_tokens";  ///< empty: the model reads no tokens
  BlockNames block{};
  std::string final_norm = "norm";  ///< empty: none
};

/// A pre-LN block with full causal attention, scores over sqrt(head_dim), and no positions.
BlockSpec block_of(const Parts& parts, const BlockNames& names, const Biases& biases);

/// `parts.sizes.n_blocks` such blocks and a final norm.
Stack stack_of(const Parts& parts, const BlockNames& names, const Biases& biases,
               const std::string& final_norm);

/// The stack with its token table: a whole decoder but for activation, positions and head.
Architecture outline(std::string_view family, const Parts& parts, const ModelNames& names,
                     const Biases& biases = {});

/// A table of learned positions. @param offset  row of the first position
void add_positions(Architecture& architecture, const Parts& parts, const std::string& stem,
                   std::int64_t offset = 0);

/// How the heads of a family's language models differ.
struct LanguageHead {
  /// What the names of the classes with a head end in; a file that names no class has one.
  std::vector<std::string> classes = {"ForCausalLM"};
  bool tied = false;  ///< what an absent tie_word_embeddings means
  bool bias = false;
};
/// "lm_head" of the token table's shape, if the class in config.json has a head.
void add_head(Architecture& architecture, const Config& config, const LanguageHead& form);

/// Makes the chosen blocks of a stack that had one kind so far a second kind: a copy of the first
/// with `change` applied.
void change_blocks(Stack& stack, const std::vector<bool>& chosen,
                   const std::function<void(BlockSpec&)>& change);

}  // namespace deadray
