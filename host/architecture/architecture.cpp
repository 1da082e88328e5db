#include "host/architecture/architecture.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <stdexcept>

#include "host/base/error.h"
#include "host/base/near_names.h"

namespace deadray {

const std::vector<Family>& families() {
  static const std::vector<Family> kFamilies = {
      {"bert", "post-LN encoder, learned positions (BERT, MiniLM)", describe_bert},
      {"bloom", "pre-LN decoder, norm on the embeddings, ALiBi (BLOOM)", describe_bloom},
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
       "pre-LN video encoder, rotary positions in time, row and column, with its predictor (V-JEPA "
       "2)",
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

}  // namespace

Architecture describe_architecture(const Config& config) {
  const std::string type = config.text("model_type");
  if (const Family* family = find_family(type)) return described(*family, config);
  std::vector<std::string> known;
  for (const Family& family : families()) known.emplace_back(family.model_type);
  const auto near = near_names(type, known, 1);
  throw UnsupportedError(fmt::format(
      "{}: model_type \"{}\" is unknown{}; known: {}. The norm kind is unknown too: `predict` "
      "takes --norm layernorm|rmsnorm|layernorm1p, "
      "`verify` takes "
      "--activations FILE (see scripts/capture)",
      config.path().string(), type,
      near.empty() ? "" : fmt::format(" (did you mean \"{}\"?)", near[0]), fmt::join(known, ", ")));
}

std::vector<std::string> site_names(const NormSpec& norm, const std::string& stem) {
  if (norm.rows == 0) return {stem};
  std::vector<std::string> names;
  for (std::int64_t row = 0; row < norm.rows; ++row)
    names.push_back(fmt::format("{}.{}", stem, row));
  return names;
}

std::string full_name(std::string_view name, std::string_view prefix, std::int64_t block) {
  std::string full =
      name.starts_with('/') ? std::string(name.substr(1)) : std::string(prefix).append(name);
  if (const auto place = full.find("{}"); place != std::string::npos)
    full.replace(place, 2, std::to_string(block));
  return full;
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

namespace {

/// A number of elements that refuses to wrap.
class Count {
 public:
  Count(std::int64_t value) : value_(value) {}
  Count& operator+=(Count other) {
    return checked(__builtin_add_overflow(value_, other.value_, &value_));
  }
  Count& operator*=(Count other) {
    return checked(__builtin_mul_overflow(value_, other.value_, &value_));
  }
  std::int64_t value() const { return value_; }

 private:
  Count& checked(bool overflows) {
    if (overflows) throw std::overflow_error("more than 2^63 - 1 parameters");
    return *this;
  }
  std::int64_t value_;
};

Count elements(const std::vector<std::int64_t>& shape) {
  Count product = 1;
  for (const std::int64_t extent : shape) product *= extent;
  return product;
}
Count elements(const std::optional<TensorSpec>& spec) { return spec ? elements(spec->shape) : 0; }
Count elements(const NormSpec& norm) {
  Count sum = 0;
  if (norm.has_scale) sum += elements({std::max<std::int64_t>(norm.rows, 1), norm.width});
  if (norm.has_bias) sum += norm.width;
  return sum;
}
Count elements(const std::optional<NormSpec>& norm) { return norm ? elements(*norm) : 0; }
Count elements(const LinearSpec& linear) {
  Count sum = 0;
  for (const auto* parts : {&linear.weights, &linear.biases})
    for (const TensorSpec& part : *parts) sum += elements(part.shape);
  return sum;
}
Count elements(const std::optional<LinearSpec>& linear) { return linear ? elements(*linear) : 0; }
Count elements(const BlockSpec& block) {
  Count sum = 0;
  for_each_norm(block, [&](const NormSpec& norm) { sum += elements(norm); });
  for_each_linear(block, [&](const LinearSpec& linear, std::int64_t copies) {
    Count all = elements(linear);
    all *= copies;
    sum += all;
  });
  for (const auto* scale : {&block.attention_layer_scale, &block.mlp_layer_scale})
    sum += elements(*scale);
  return sum;  // output_scale is a buffer in the models that have it
}
Count elements(const Stack& stack) {
  Count sum = elements(stack.input_norm);
  sum += elements(stack.final_norm);
  for (std::size_t kind = 0; kind < stack.block_kinds.size(); ++kind) {
    Count blocks = elements(stack.block_kinds[kind]);
    blocks *= stack.kind_of.empty()
                  ? stack.n_blocks
                  : std::count(stack.kind_of.begin(), stack.kind_of.end(), static_cast<int>(kind));
    sum += blocks;
  }
  return sum;
}
Count elements(const TokenInput& tokens) {
  Count sum = elements(tokens.table.shape);
  sum += elements(tokens.projection);
  for (const auto* table : {&tokens.positions, &tokens.types}) sum += elements(*table);
  return sum;
}

Count elements(const PatchInput& patches) {
  Count sum = elements(patches.projection);
  for (const auto* tensor :
       {&patches.class_token, &patches.register_tokens, &patches.mask_token, &patches.positions})
    sum += elements(*tensor);
  return sum;
}
Count elements(const VisionTower& tower) {
  Count sum = elements(tower.blocks);
  sum += elements(tower.patches);
  sum += elements(tower.positions.shape);
  sum += elements(tower.norm);
  sum += elements(tower.projection);
  return sum;  // shift and scale are buffers
}

}  // namespace

std::int64_t count_parameters(const Architecture& a) {
  Count count = elements(static_cast<const Stack&>(a));
  if (a.tokens) count += elements(*a.tokens);
  if (a.patches) count += elements(*a.patches);
  if (a.predictor) {
    count += elements(a.predictor->stack);
    count += elements(a.predictor->mask_tokens.shape);
    for (const auto* map : {&a.predictor->embedding, &a.predictor->projection})
      count += elements(*map);
  }
  if (a.vision) count += elements(*a.vision);
  for (const auto* map : {&a.output_projection, &a.pooler}) count += elements(*map);
  if (!a.head) return count.value();
  if (a.head->transform) {
    count += elements(a.head->transform->dense);
    count += elements(a.head->transform->norm);
  }
  for (const TensorSpec& bias : a.head->decoder.biases) count += elements(bias.shape);
  if (!a.head->tied) count += elements(a.head->decoder.weights[0].shape);
  return count.value();
}

}  // namespace deadray
