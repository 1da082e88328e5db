#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "host/architecture/norm_site.h"

// The layers of a transformer as data: what a family's file fills in, and what prediction and
// execution read.
namespace deadray {

/// How a tensor is drawn when a model is initialised at random.
struct Init {
  enum class Kind { normal, zeros, ones, constant } kind = Kind::normal;
  double deviation = 0.02;     ///< of Kind::normal; the value of Kind::constant
  std::int64_t zero_row = -1;  ///< row set to zero afterwards (a padding token's embedding)
};

/// Elements [first, first + count) of a larger tensor, where count is what the part's own shape
/// gives.
struct PartOfTensor {
  std::string name;
  std::vector<std::int64_t> shape;  ///< of the whole, as stored
  std::int64_t first = 0;
};

/// One tensor of a checkpoint. "{}" in the name stands for the block index; a leading '/' keeps the
/// checkpoint's prefix away
/// ("/lm_head.weight").
struct TensorSpec {
  std::string name;
  std::vector<std::int64_t> shape;  ///< as stored
  Init init;
  std::optional<PartOfTensor>
      fused{};  ///< where checkpoints keep it that lack `name` (all experts' weights in one tensor)
};

enum class Storage {
  out_in,  ///< nn.Linear: y = x W^T
  in_out,  ///< GPT-2's Conv1D: y = x W
};

/// A linear map as the executor applies it: the parts' outputs side by side. Each part is one
/// consumer of the norm before it.
struct LinearSpec {
  std::vector<TensorSpec>
      weights;  ///< at least one; of a convolution [outputs, ...], whose other dimensions are one
  std::vector<TensorSpec> biases;  ///< as many, or none
  Storage storage = Storage::out_in;
  std::int64_t inputs = 0, outputs = 0;
  std::vector<LinearSpec> alternatives;  ///< the same map as other checkpoints store it: in other
                                         ///< parts, under other names
};

struct NormSpec {
  std::string name;  ///< stem, "{}" is the block index
  NormKind kind = NormKind::layernorm;
  std::int64_t width = 0;
  double eps = 1e-5;
  bool has_bias = true;
  double weight_offset = 0.0;  ///< gamma = stored + offset (Gemma 1-3)
  bool has_scale = true;       ///< false: gamma = 1, and nothing is stored
  std::int64_t rows = 0;       ///< of a norm over each head with a scale of its own, stored [rows,
                               ///< width]; 0: one scale [width]
  bool scales_in_fp32 =
      false;  ///< half types are rounded after the scale has multiplied (Cohere, Gemma), not before
};

enum class Activation { gelu_erf, gelu_tanh, gelu_bloom, quick_gelu, relu, silu, tanh };

/// Rotary positions of queries and keys. The tables are made in FP32, as the models themselves do.
struct Rope {
  enum class Scaling {
    none,
    linear,        ///< every frequency divided by `factor`
    llama3,        ///< long wavelengths divided by `factor`, short ones kept, those between blended
    proportional,  ///< frequencies of the whole width, but for the first `turning_pairs` all 0
  } scaling = Scaling::none;
  enum class Pairing {
    half_split,         ///< (i, i + R/2)
    interleaved,        ///< (2i, 2i + 1)
    tiled_interleaved,  ///< pairs (2i, 2i + 1), but dimension j turns by frequency j mod R/2
                        ///< (V-JEPA 2): no rotation
  } pairing = Pairing::half_split;
  double theta = 10000.0;
  std::int64_t rotated_dims = 0;  ///< R: the first dimensions of each head, of each axis
  std::int64_t axes = 1;          ///< coordinates of a token; each turns the next R dimensions
  std::int64_t turning_pairs = 0;
  double factor = 1.0, low_frequency_factor = 1.0, high_frequency_factor = 4.0;
  std::int64_t original_max_positions = 8192;
};

/// Attention with linear biases: slope of the head times (key - query) is added to the score.
struct Alibi {
  bool scaled = false;  ///< multiplied by the attention scale too (Falcon)
  bool rounds_bfloat16 =
      false;  ///< the reference code forms slope times key index in bfloat16 (Falcon)
};

/// How the outputs of `qkv` are ordered, head_dim each.
enum class Packing {
  blocks,  ///< all queries, all keys, all values
  groups,  ///< for each key head: its queries, its key, its value
};

struct AttentionSpec {
  std::int64_t n_heads = 0, n_kv_heads = 0, head_dim = 0;
  bool causal = true;
  double scale = 0.0;       ///< of q k^T
  std::int64_t window = 0;  ///< key j is visible to query i when i - j < window; 0: no limit
  double clip =
      0.0;  ///< c: queries, keys and values are cut to [-c, c] before anything else (OLMo); 0: not
  bool joins_groups = false;  ///< tokens of one group, a run of picture tokens, see each other both
                              ///< ways, within the window
  double score_soft_cap = 0.0;  ///< c: scores become c tanh(score / c); 0: none
  std::optional<Rope> rope;
  std::optional<Alibi> alibi;
  std::optional<NormSpec> query_norm, key_norm,
      value_norm;  ///< over each head, before the rotation
  bool values_are_keys =
      false;  ///< the raw keys serve as values; qkv then yields queries and keys alone
  Packing packing = Packing::blocks;
  LinearSpec qkv;
  LinearSpec out;
};

/// A mixture of experts: softmax over the router's outputs, the largest chosen.
struct Routing {
  LinearSpec router;  ///< [n_experts, d]
  std::int64_t n_experts = 0, per_token = 0;
  bool normalises = true;        ///< the chosen probabilities are divided by their sum
  bool weights_in_fp32 = false;  ///< they multiply an expert's output in FP32, then it is rounded
                                 ///< (Mixtral); else they are rounded first
};

struct MlpSpec {
  Activation activation = Activation::gelu_erf;
  bool gated = false;  ///< in yields [gate | up]: activation(gate) * up
  LinearSpec in, out;  ///< with `routing` one expert's, "{e}" in their names is its number
  std::optional<Routing> routing;  ///< absent: a dense MLP
};

enum class Wiring {
  pre,       ///< x += A(norm(x)); x += M(norm(x))
  post,      ///< x = norm(x + A(x)); x = norm(x + M(x)): the stream is a norm's output
  parallel,  ///< x += A(norm(x)) + M(norm(x)), both of the same x
};

struct BlockSpec {
  Wiring wiring = Wiring::pre;
  NormSpec attention_norm;  ///< before the sublayer (pre, parallel) or after its addition (post)
  std::optional<NormSpec>
      mlp_norm;  ///< absent in parallel blocks whose MLP reads attention_norm too
  std::optional<NormSpec> attention_output_norm,
      mlp_output_norm;  ///< of what a sublayer adds (sandwich)
  std::optional<TensorSpec> attention_layer_scale,
      mlp_layer_scale;                     ///< [d], multiplies what a sublayer adds
  std::optional<TensorSpec> output_scale;  ///< [1], multiplies the block's output
  AttentionSpec attention;
  MlpSpec mlp;
};

}  // namespace deadray
