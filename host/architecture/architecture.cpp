#include "host/architecture/architecture.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <stdexcept>

#include "host/architecture/fit/quantisation.h"
#include "host/base/error.h"
#include "host/base/near_names.h"

namespace deadray {

const std::vector<Family>& families() {
  static const std::vector<Family> kFamilies = {
      {"bert", "post-LN encoder, learned positions (BERT, MiniLM)", describe_bert},
      {"bloom", "pre-LN decoder, norm on the embeddings, ALiBi (BLOOM)", describe_bloom},
      {"clip", "the picture tower of CLIP, its text tower is left out", describe_clip},
      {"clip_vision_model",
       "picture encoder, LayerNorm before the blocks, final norm of the class token (CLIP)",
       describe_clip_vision_model},
      {"cohere", "LayerNorm without shift, attention and MLP in parallel (Command R)",
       describe_cohere},
      {"dinov2", "pre-LN picture encoder, layer scale, resized positions (DINOv2)",
       describe_dinov2},
      {"dinov2_with_registers", "DINOv2 with register tokens", describe_dinov2_with_registers},
      {"falcon", "LayerNorm decoder, attention and MLP in parallel, few key heads (Falcon)",
       describe_falcon},
      {"gemma", "RMSNorm decoder, scales stored less 1, scaled embedding (Gemma)", describe_gemma},
      {"gemma2",
       "Gemma with norms on both sides of each sublayer, soft-caps, every other block windowed "
       "(Gemma 2)",
       describe_gemma2},
      {"gemma3", "the text part of Gemma 3 with a vision tower, which is not run", describe_gemma3},
      {"gemma3_text",
       "Gemma with norms on both sides, q/k norms, five windowed blocks to a global one (Gemma 3)",
       describe_gemma3_text},
      {"gemma4",
       "RMSNorm sandwich, windowed and full attention, layer scalars, vision tower (Gemma 4)",
       describe_gemma4},
      {"gemma4_text", "the language model of gemma4 alone", describe_gemma4_text},
      {"gpt2", "pre-LN decoder, learned positions, tied head (GPT-2)", describe_gpt2},
      {"gpt_neox",
       "LayerNorm decoder, attention and MLP in parallel, rotary positions (GPT-NeoX, Pythia)",
       describe_gpt_neox},
      {"llama", "RMSNorm decoder, rotary positions, grouped queries, gated MLP (Llama, SmolLM2)",
       describe_llama},
      {"mistral", "Llama with a sliding window (Mistral)", describe_mistral},
      {"mixtral", "Llama with a mixture of experts (Mixtral)", describe_mixtral},
      {"olmo",
       "pre-LN decoder whose LayerNorms store nothing, rotary positions, gated MLP (OLMo 1)",
       describe_olmo},
      {"opt", "pre-LN or post-LN decoder, learned positions, tied head (OPT)", describe_opt},
      {"phi", "LayerNorm decoder, attention and MLP in parallel, rotary positions (Phi-1, Phi-2)",
       describe_phi},
      {"qwen2", "Llama with biases on queries, keys and values (Qwen2, Qwen2.5)", describe_qwen2},
      {"qwen3", "Llama with q/k norms over each head (Qwen3)", describe_qwen3},
      {"qwen3_moe", "Qwen3 with a mixture of experts (Qwen3-30B-A3B)", describe_qwen3_moe},
      {"vit", "pre-LN picture encoder, learned positions (ViT)", describe_vit},
      {"vjepa2",
       "pre-LN video encoder, rotary positions in time, row and column, with its predictor "
       "(V-JEPA 2)",
       describe_vjepa2},
  };
  return kFamilies;
}

const Family* find_family(std::string_view model_type) {
  const auto& all = families();
  const auto found = std::find_if(all.begin(), all.end(), [&](const Family& family) {
    return family.model_type == model_type;
  });
  return found == all.end() ? nullptr : &*found;
}

namespace {

/// Sites of norms and experts, which are listed one by one.
std::int64_t listed_parts(const Stack& stack) {
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < stack.n_blocks; ++i) {
    const BlockSpec& block = stack.block(i);
    for_each_norm(block,
                  [&](const NormSpec& norm) { count += std::max<std::int64_t>(1, norm.rows); });
    if (block.mlp.routing) count += block.mlp.routing->n_experts;
  }
  return count;
}

Architecture described(const Family& family, const Config& config) {
  Architecture architecture = family.describe(config);
  architecture.not_run = config.not_run();
  architecture.quantised = quantisation_of(config);
  try {
    count_parameters(architecture);
  } catch (const std::overflow_error& overflow) {
    throw MalformedError(fmt::format("{}: its sizes make {}; is one of them wrong?",
                                     config.path().string(), overflow.what()));
  }
  constexpr std::int64_t kMostListed = 500'000;  // ten times what the largest mixtures have
  if (const std::int64_t count = listed_parts(architecture); count > kMostListed)
    throw MalformedError(
        fmt::format("{}: its {} blocks make {} norms and experts, expected at most {}; is one of "
                    "its sizes wrong?",
                    config.path().string(), architecture.n_blocks, count, kMostListed));
  return architecture;
}

/// What errors say of a model whose forward pass deadray does not have.
constexpr std::string_view kMeasureOtherModels =
    "`python -m deadray watch MODEL` measures what transformers runs";

}  // namespace

void require_runnable(const Architecture& architecture) {
  if (!architecture.not_run.empty())
    throw UnsupportedError(
        fmt::format("{}; {}", architecture.not_run.front(), kMeasureOtherModels));
}

Architecture describe_architecture(const Config& config) {
  if (!config.has("model_type"))
    throw MalformedError(fmt::format(
        "{}: key 'model_type' is missing, expected the name of a model type: add it, or let "
        "`predict` take your word for the norms: --norm layernorm|rmsnorm|layernorm1p",
        config.path().string()));
  const std::string type = config.text("model_type");
  if (const Family* family = find_family(type)) return described(*family, config);
  std::vector<std::string> known;
  for (const Family& family : families()) known.emplace_back(family.model_type);
  const auto near = near_names(type, known, 1);
  throw UnsupportedError(fmt::format(
      "{}: model_type \"{}\" has no family of its own{}; known: {}. `predict` knows more types "
      "(`deadray models --all`) and takes --norm layernorm|rmsnorm|layernorm1p; {}",
      config.path().string(), type,
      near.empty() ? "" : fmt::format(" (did you mean \"{}\"?)", near[0]), fmt::join(known, ", "),
      kMeasureOtherModels));
}

std::vector<std::string> site_names(const NormSpec& norm, const std::string& stem) {
  if (norm.rows == 0) return {stem};
  std::vector<std::string> names;
  for (std::int64_t row = 0; row < norm.rows; ++row)
    names.push_back(fmt::format("{}.{}", stem, row));
  return names;
}

std::string full_name(std::string_view name, std::string_view prefix, std::int64_t block) {
  if (name.starts_with('/')) {
    name.remove_prefix(1);
    prefix = {};
  }
  const std::size_t place = name.find("{}");
  const std::string number = place == name.npos ? "" : std::to_string(block);
  std::string full;
  full.reserve(prefix.size() + name.size() + number.size());  // one allocation: they are many
  full.append(prefix).append(name.substr(0, place)).append(number);
  if (place != name.npos) full.append(name.substr(place + 2));
  return full;
}

std::string bias_name(const TensorSpec& weight) {
  return weight.name.substr(0, weight.name.rfind('.')) + ".bias";
}

LinearSpec expert(LinearSpec spec, std::int64_t number) {
  for (auto* parts : {&spec.weights, &spec.biases})
    for (TensorSpec& part : *parts) {
      if (const auto place = part.name.find("{e}"); place != std::string::npos)
        part.name.replace(place, 3, std::to_string(number));
      if (!part.fused) continue;
      std::int64_t each = 1;
      for (std::size_t axis = 1; axis < part.fused->shape.size(); ++axis)
        each *= part.fused->shape[axis];
      part.fused->first += number * each;
    }
  return spec;
}

}  // namespace deadray
