#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "host/architecture/config.h"
#include "host/architecture/layer_specs.h"

namespace deadray {

/// A stream of tokens through blocks of a few kinds.
struct Stack {
  std::int64_t hidden_size = 0, n_blocks = 0;
  std::optional<NormSpec> input_norm;  ///< its output is the stream that enters block 0
  std::vector<BlockSpec> block_kinds;  ///< at least one
  std::vector<int> kind_of;            ///< kind of each block; empty: all of the first
  /// Absent in post-norm models: the last block's mlp_norm plays the part.
  std::optional<NormSpec> final_norm;
  /// The final norm sees the first token of each sequence alone (CLIP).
  bool final_norm_reads_class_token = false;

  std::size_t kind(std::int64_t block) const {
    return kind_of.empty() ? 0 : static_cast<std::size_t>(kind_of[static_cast<std::size_t>(block)]);
  }
  const BlockSpec& block(std::int64_t index) const { return block_kinds[kind(index)]; }
  /// Whether the last thing that happens to the stream is a norm, of the stack or of a post-norm
  /// block.
  bool ends_in_norm() const { return final_norm || block(n_blocks - 1).wiring == Wiring::post; }
};

/// What turns token ids into a stream: scale * table[id], then the projection, then positions and
/// token type 0 are added.
struct TokenInput {
  TensorSpec table;                      ///< [vocabulary, width]
  double scale = 1.0;                    ///< rounded to the model's dtype (Gemma)
  std::optional<LinearSpec> projection;  ///< from the table's width to the stream's (OPT-350m)
  std::optional<TensorSpec> positions, types;
  std::int64_t position_offset = 0;  ///< row of the first position (OPT: 2)
  /// With Counting::attended the offset is at least 1: hidden tokens have a row too.
  Counting counting = Counting::all;
};

/// What turns pixels into a stream: a picture is cut into patches, a clip into tubelets (the same
/// patch of some frames on end), and each mapped to a token, in order of time, row, column.
struct PatchInput {
  std::int64_t channels = 3;
  /// Of what the model was made for.
  std::int64_t height = 0, width = 0;
  std::int64_t frames = 0;              ///< 0: the model reads pictures
  std::int64_t patch = 0, tubelet = 1;  ///< a patch is a square
  LinearSpec projection;                ///< weight [d, channels, (tubelet,) patch, patch]
  /// d elements. It stands before the patches.
  std::optional<TensorSpec> class_token;
  /// [1, r, d], between class token and patches, without positions.
  std::optional<TensorSpec> register_tokens;
  /// Takes the place of patches in training, and has no part in inference.
  std::optional<TensorSpec> mask_token;
  /// Rows of the class token, if any, then of the grid's patches.
  std::optional<TensorSpec> positions;
  /// How positions are resized to another grid.
  enum class Resize {
    bicubic,  ///< in FP32, or in the model's dtype where that is wider
    bicubic_fp32,
    antialiased_fp32,  ///< bicubic too
  } resize = Resize::bicubic;

  /// The grid of patches; a remainder is left out.
  std::int64_t rows() const { return height / patch; }
  std::int64_t columns() const { return width / patch; }
};

/// What turns pictures, rows of patches, into rows of the stream; they take the places of one token
/// (Gemma 4). k x k patches become one row: projection(norm((sqrt(width) * mean - shift) * scale))
/// of the blocks' output.
struct VisionTower {
  Stack blocks;              ///< its tokens are patches, their coordinates column and row
  LinearSpec patches;        ///< of 2 (p - 1/2), p the pixels of a patch by row, column, channel
  TensorSpec positions;      ///< [2, n, width]: what a column and a row add
  std::int64_t pooling = 1;  ///< k
  std::optional<TensorSpec> shift, scale;  ///< [width]
  NormSpec norm;
  LinearSpec projection;
  std::int64_t token = 0;           ///< whose places the rows take, in order
  std::int64_t longest = 0;         ///< rows of a picture, as processors make them at most
  std::int64_t begin = 0, end = 0;  ///< tokens around a picture
};

/// A token id that no text holds: the place of a picture or a sound, its beginning, its end.
struct SpecialToken {
  std::string key;  ///< in config.json
  std::int64_t id = 0;
  bool is_place = false;  ///< of what deadray does not embed, so that it can stand in no input
};

/// Maps the final norm's output to logits. Bert's puts dense -> activation -> norm before the
/// decoder.
struct HeadSpec {
  struct Transform {
    LinearSpec dense;
    Activation activation;
    NormSpec norm;
  };
  std::optional<Transform> transform;
  LinearSpec decoder;
  bool tied = false;               ///< decoder.weights[0] is the token table
  double scale = 1.0;              ///< of the logits
  double soft_cap = 0.0;           ///< c: logits become c tanh(logit / c); 0: none
  bool reads_class_token = false;  ///< one row of logits a picture
};

/// A second stack behind the first: it reads the embedded output of the first's final norm, and as
/// many mask tokens, each with the position of one of them (V-JEPA 2 predicts every token from
/// all).
struct Predictor {
  Stack stack;
  LinearSpec embedding;    ///< from the first stack's width to this one's; reads its final norm
  TensorSpec mask_tokens;  ///< [n, 1, 1, d]; the second is used, or the only one
  LinearSpec projection;   ///< of this stack's final norm's output, back to the first's width
};

/// A transformer as data: everything that prediction and execution need, and nothing about how.
struct Architecture : Stack {
  std::string family;  ///< model_type of config.json
  std::int64_t vocab_size = 0;
  std::int64_t max_positions = 0;  ///< longest sequence; 0: any
  /// What checkpoints put before the names. The first is what current transformers writes.
  std::vector<std::string> prefixes;
  /// What other checkpoints write instead, all of it at once: {"LayerNorm.weight",
  /// "LayerNorm.gamma"}.
  std::vector<std::pair<std::string, std::string>> aliases;
  std::optional<TokenInput> tokens;   ///< what the model reads: either token ids
  std::optional<PatchInput> patches;  ///< or pixels
  std::optional<VisionTower> vision;  ///< beside tokens: pictures between them
  std::vector<SpecialToken> special_tokens;
  /// Of the final norm's output, before the head (OPT-350m).
  std::optional<LinearSpec> output_projection;
  /// As the configuration describes it. A checkpoint may lack its tensors.
  std::optional<HeadSpec> head;
  /// Runs where its norms are asked for. Logits and residual stream do not depend on it.
  std::optional<Predictor> predictor;
  /// Reads the final norm too. A checkpoint may lack it.
  std::optional<LinearSpec> pooler;
  /// What the user should know of the model: parts of it that are left out.
  std::vector<std::string> notes;
  /// What the names of those parts' tensors begin with. `notes` speaks of their norms.
  std::vector<std::string> left_out;
  /// What the executor does not run, each a line that begins with the file and names the key. What
  /// the norms are, and who reads them, does not depend on it.
  std::vector<std::string> not_run;
  /// How config.json says that the weights are quantised ("gptq"); empty: it does not.
  std::string quantised;
};

/// A family of models: how its config.json becomes an Architecture.
struct Family {
  std::string_view model_type;
  std::string_view description;  ///< one line for `deadray models`
  std::function<Architecture(const Config&)> describe;
};

/// All families, in order of name.
const std::vector<Family>& families();

/// The family of this model_type; nullptr when deadray does not know it.
const Family* find_family(std::string_view model_type);

// One file each, families/<model_type>.cpp.
Architecture describe_bert(const Config& config);
Architecture describe_bloom(const Config& config);
Architecture describe_clip(const Config& config);
Architecture describe_clip_vision_model(const Config& config);
Architecture describe_cohere(const Config& config);
Architecture describe_dinov2(const Config& config);
Architecture describe_dinov2_with_registers(const Config& config);
Architecture describe_falcon(const Config& config);
Architecture describe_gemma(const Config& config);
Architecture describe_gemma2(const Config& config);
Architecture describe_gemma3(const Config& config);
Architecture describe_gemma3_text(const Config& config);
Architecture describe_gemma4(const Config& config);
Architecture describe_gemma4_text(const Config& config);
Architecture describe_gpt2(const Config& config);
Architecture describe_gpt_neox(const Config& config);
Architecture describe_llama(const Config& config);
Architecture describe_mistral(const Config& config);
Architecture describe_mixtral(const Config& config);
Architecture describe_olmo(const Config& config);
Architecture describe_opt(const Config& config);
Architecture describe_phi(const Config& config);
Architecture describe_qwen2(const Config& config);
Architecture describe_qwen3(const Config& config);
Architecture describe_qwen3_moe(const Config& config);
Architecture describe_vit(const Config& config);
Architecture describe_vjepa2(const Config& config);

/// Describes also what the executor does not run: see Architecture::not_run.
/// @throws UnsupportedError for an unknown model_type (near names, the known ones, the way out)
/// @throws MalformedError for a config that lacks or contradicts what the family needs
Architecture describe_architecture(const Config& config);

/// @throws UnsupportedError with the first line of architecture.not_run, if there is any
void require_runnable(const Architecture& architecture);

/// One expert of a mixture: its number in place of "{e}", its share of a fused tensor [n_experts,
/// ...].
LinearSpec expert(LinearSpec spec, std::int64_t number);

/// Calls f(LinearSpec&, std::int64_t copies) for every linear map of a block; an expert's
/// stands for `copies` of them.
template <class Block, class F>
void for_each_linear(Block& block, F&& f) {
  f(block.attention.qkv, 1), f(block.attention.out, 1);
  auto& routing = block.mlp.routing;
  if (routing) f(routing->router, 1);
  const std::int64_t copies = routing ? routing->n_experts : 1;
  f(block.mlp.in, copies), f(block.mlp.out, copies);
}

/// Calls f(NormSpec&) for every norm of a block, in order of evaluation.
template <class Block, class F>
void for_each_norm(Block& block, F&& f) {
  const auto visit = [&](auto& norm) {
    if (norm) f(*norm);
  };
  auto& attention = block.attention;
  const bool post = block.wiring == Wiring::post;
  if (!post) f(block.attention_norm);
  for (auto* norm : {&attention.query_norm, &attention.key_norm, &attention.value_norm})
    visit(*norm);
  visit(block.attention_output_norm);
  if (post) f(block.attention_norm);
  visit(block.mlp_norm), visit(block.mlp_output_norm);
}

/// Names of the sites of a norm whose stem is `stem`: the stem, or "<stem>.<head>" for each head
/// with a scale of its own.
std::vector<std::string> site_names(const NormSpec& norm, const std::string& stem);

/// Name of a tensor or stem as a checkpoint with this prefix has it, the block index filled in
/// (block -1: there is none to fill).
std::string full_name(std::string_view name, std::string_view prefix, std::int64_t block = -1);

/// Name of the bias of a map, of its weight's: "mlp.fc1.bias" for "mlp.fc1.weight".
std::string bias_name(const TensorSpec& weight);

/// Number of parameters of the model that the architecture describes, tied weights counted once.
/// @throws std::overflow_error beyond 2^63 - 1, which describe_architecture() refuses
std::int64_t count_parameters(const Architecture& architecture);

}  // namespace deadray
