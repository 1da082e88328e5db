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
/// checkpoint's prefix away ("/lm_head.weight").
struct TensorSpec {
  std::string name;
  std::vector<std::int64_t> shape;  ///< as stored
  Init init;
  /// Where checkpoints keep it that lack `name`: all experts' weights in one tensor.
  std::optional<PartOfTensor> fused{};
  bool is_buffer = false;  ///< stored, but no parameter: nobody trains it
};

enum class Storage {
  out_in,  ///< nn.Linear: y = x W^T
  in_out,  ///< GPT-2's Conv1D: y = x W
};

/// A linear map as the executor applies it: the parts' outputs side by side. Each part is one
/// consumer of the norm before it.
struct LinearSpec {
  /// At least one. Of a convolution [outputs, ...], whose other dimensions count as one.
  std::vector<TensorSpec> weights;
  std::vector<TensorSpec> biases;  ///< as many, or none
  Storage storage = Storage::out_in;
  std::int64_t inputs = 0, outputs = 0;
  /// The same map as other checkpoints store it: in other parts, under other names.
  std::vector<LinearSpec> alternatives;
};

struct NormSpec {
  std::string name;  ///< stem, "{}" is the block index
  NormKind kind = NormKind::layernorm;
  std::int64_t width = 0;
  double eps = 1e-5;
  bool has_bias = true;
  double weight_offset = 0.0;  ///< gamma = stored + offset (Gemma 1-3)
  bool has_scale = true;       ///< false: gamma = 1, and nothing is stored
  /// Of a norm over each head, where each has a scale of its own, stored [rows, width].
  /// 0: one scale [width].
  std::int64_t rows = 0;
  /// Half types are rounded after the scale has multiplied (Cohere, Gemma), not before.
  bool scales_in_fp32 = false;
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
    half_split,   ///< (i, i + R/2)
    interleaved,  ///< (2i, 2i + 1)
    /// (2i, 2i + 1), but dimension j turns by frequency j mod R/2: no rotation (V-JEPA 2).
    tiled_interleaved,
  } pairing = Pairing::half_split;
  double theta = 10000.0;
  std::int64_t rotated_dims = 0;  ///< R: the first dimensions of each head, of each axis
  std::int64_t axes = 1;          ///< coordinates of a token; each turns the next R dimensions
  std::int64_t turning_pairs = 0;
  double factor = 1.0, low_frequency_factor = 1.0, high_frequency_factor = 4.0;
  std::int64_t original_max_positions = 8192;
};

/// How the tokens of a sequence are numbered where a mask hides some.
enum class Counting {
  all,       ///< from the row's start, hidden ones too
  attended,  ///< 0, 1, ... over those that the mask keeps; hidden ones stand at -1
};

/// Attention with linear biases: slope of the head times (key - query) is added to the score.
struct Alibi {
  Counting counting = Counting::attended;
  bool scaled = false;  ///< multiplied by the attention scale too (Falcon)
  /// The reference code forms slope times key index in bfloat16 (Falcon).
  bool rounds_bfloat16 = false;
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
  /// c: queries, keys and values are cut to [-c, c] before anything else (OLMo); 0: not.
  double clip = 0.0;
  /// Tokens of one group, a run of picture tokens, see each other both ways, within the window.
  bool joins_groups = false;
  double score_soft_cap = 0.0;  ///< c: scores become c tanh(score / c); 0: none
  std::optional<Rope> rope;
  std::optional<Alibi> alibi;
  /// Over each head, before the rotation.
  std::optional<NormSpec> query_norm, key_norm, value_norm;
  /// The raw keys serve as values; qkv then yields queries and keys alone.
  bool values_are_keys = false;
  Packing packing = Packing::blocks;
  LinearSpec qkv;
  LinearSpec out;
};

/// A mixture of experts: softmax over the router's outputs, the largest chosen.
struct Routing {
  LinearSpec router;  ///< [n_experts, d]
  std::int64_t n_experts = 0, per_token = 0;
  bool normalises = true;  ///< the chosen probabilities are divided by their sum
  /// They multiply an expert's output in FP32, then it is rounded (Mixtral); else they are rounded
  /// first.
  bool weights_in_fp32 = false;
};

struct MlpSpec {
  Activation activation = Activation::gelu_erf;
  bool gated = false;  ///< in yields [gate | up]: activation(gate) * up
  /// With `routing` one expert's: "{e}" in their names is its number.
  LinearSpec in, out;
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
  /// Absent in parallel blocks whose MLP reads attention_norm too.
  std::optional<NormSpec> mlp_norm;
  /// Of what a sublayer adds (sandwich).
  std::optional<NormSpec> attention_output_norm, mlp_output_norm;
  /// [d], multiplies what a sublayer adds.
  std::optional<TensorSpec> attention_layer_scale, mlp_layer_scale;
  std::optional<TensorSpec> output_scale;  ///< [1], multiplies the block's output
  AttentionSpec attention;
  MlpSpec mlp;
};

}  // namespace deadray
