#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "host/config.h"
#include "host/norm_site.h"

namespace deadray {

/// How a tensor is drawn when a model is initialised at random.
struct Init {
  enum class Kind { normal, zeros, ones } kind = Kind::normal;
  double deviation = 0.02;     ///< of Kind::normal
  std::int64_t zero_row = -1;  ///< row set to zero afterwards (a padding token's embedding)
};

/// One tensor of a checkpoint. "{}" in the name stands for the block index; a leading '/' keeps the checkpoint's prefix away
/// ("/lm_head.weight").
struct TensorSpec {
  std::string name;
  std::vector<std::int64_t> shape;  ///< as stored
  Init init;
};

enum class Storage {
  out_in,  ///< nn.Linear: y = x W^T
  in_out,  ///< GPT-2's Conv1D: y = x W
};

/// A linear map as the executor applies it: the parts' outputs side by side. Each part is one consumer of the norm before it.
struct LinearSpec {
  std::vector<TensorSpec> weights;  ///< at least one
  std::vector<TensorSpec> biases;   ///< as many, or none
  Storage storage = Storage::out_in;
  std::int64_t inputs = 0, outputs = 0;
};

struct NormSpec {
  std::string name;  ///< stem, "{}" is the block index
  NormKind kind = NormKind::layernorm;
  std::int64_t width = 0;
  double eps = 1e-5;
  bool has_bias = true;
  double weight_offset = 0.0;
};

enum class Wiring {
  pre,   ///< x += A(norm(x)); x += M(norm(x))
  post,  ///< x = norm(x + A(x)); x = norm(x + M(x)): the stream is a norm's output
};
enum class Activation { gelu_erf, gelu_tanh, relu, silu, tanh };

struct Rope {
  enum class Scaling { none, linear, llama3 } scaling = Scaling::none;
  double theta = 10000.0;
  std::int64_t rotated_dims = 0;  ///< of each head; half-split pairs (i, i + rotated_dims/2)
  double factor = 1.0, low_frequency_factor = 1.0, high_frequency_factor = 4.0;
  std::int64_t original_max_positions = 8192;
};

struct AttentionSpec {
  std::int64_t n_heads = 0, n_kv_heads = 0, head_dim = 0;
  bool causal = true;
  double scale = 0.0;  ///< of q k^T
  std::optional<Rope> rope;
  LinearSpec qkv;  ///< outputs: n_heads, then n_kv_heads keys, then n_kv_heads values, head_dim each
  LinearSpec out;
};

struct MlpSpec {
  Activation activation = Activation::gelu_erf;
  bool gated = false;  ///< in yields [gate | up]: activation(gate) * up
  LinearSpec in, out;
};

struct BlockSpec {
  Wiring wiring = Wiring::pre;
  NormSpec attention_norm, mlp_norm;  ///< before the sublayer (pre) or after its addition (post)
  AttentionSpec attention;
  MlpSpec mlp;
};

/// Maps the final norm's output to logits. Bert's puts dense -> activation -> norm before the decoder.
struct HeadSpec {
  struct Transform {
    LinearSpec dense;
    Activation activation;
    NormSpec norm;
  };
  std::optional<Transform> transform;
  LinearSpec decoder;
  bool tied = false;  ///< decoder.weights[0] is the token embedding
};

/// A transformer as data: everything that prediction and execution need, and nothing about how.
struct Architecture {
  std::string family;  ///< model_type of config.json
  std::int64_t hidden_size = 0, n_blocks = 0, vocab_size = 0;
  std::int64_t max_positions = 0;     ///< longest sequence; 0: any
  std::vector<std::string> prefixes;  ///< what checkpoints put before the names; the first is the one that current transformers writes
  std::vector<std::pair<std::string, std::string>>
      aliases;  ///< endings that old checkpoints use instead: {"LayerNorm.weight", "LayerNorm.gamma"}
  TensorSpec token_embedding;
  std::optional<TensorSpec> position_embedding, type_embedding;
  std::optional<NormSpec> embedding_norm;
  BlockSpec block;
  std::optional<NormSpec> final_norm;  ///< absent in post-norm models: the last block's mlp_norm plays the part
  std::optional<HeadSpec> head;        ///< as the configuration describes it; a checkpoint may lack its tensors
  std::optional<LinearSpec> pooler;    ///< reads the final norm too
};

/// A family of models: how its config.json becomes an Architecture.
struct Family {
  std::string_view model_type;
  std::string_view description;  ///< one line for `deadray models`
  std::function<Architecture(const Config&)> describe;
};

/// All families, in order of name.
const std::vector<Family>& families();

// One file each, host/families/<model_type>.cpp.
Architecture describe_bert(const Config& config);
Architecture describe_gpt2(const Config& config);
Architecture describe_llama(const Config& config);

/// @throws UnsupportedError for an unknown model_type (near names, the known ones, the way out) and for a configuration that the family
/// allows
///         but the executor does not run, by key; MalformedError for a config that lacks or contradicts what it needs
Architecture describe_architecture(const Config& config);

/// Name of a tensor or stem as a checkpoint with this prefix has it, the block index filled in (block -1: there is none to fill).
std::string full_name(std::string_view name, std::string_view prefix, std::int64_t block = -1);

/// Number of parameters of the model that the architecture describes, tied weights counted once.
/// @throws std::overflow_error beyond 2^63 - 1; describe_architecture() has made sure that it is not
std::int64_t count_parameters(const Architecture& architecture);

}  // namespace deadray
