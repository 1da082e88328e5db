#include "host/architecture.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <functional>
#include <numeric>

#include "host/error.h"
#include "host/near_names.h"

namespace deadray {

const std::vector<Family>& families() {
  static const std::vector<Family> kFamilies = {
      {"bert", "post-LN encoder, learned positions (BERT, MiniLM)", describe_bert},
      {"gpt2", "pre-LN decoder, learned positions, tied head (GPT-2)", describe_gpt2},
      {"llama", "RMSNorm decoder, rotary positions, grouped queries, gated MLP (Llama, SmolLM2)", describe_llama},
  };
  return kFamilies;
}

Architecture describe_architecture(const Config& config) {
  const std::string type = config.text("model_type");
  std::vector<std::string> known;
  for (const Family& family : families()) {
    if (family.model_type == type) return family.describe(config);
    known.emplace_back(family.model_type);
  }
  const auto near = near_names(type, known, 1);
  throw UnsupportedError(fmt::format(
      "{}: model_type \"{}\" is unknown{}; known: {}. The norm kind is unknown too: `predict` takes --norm layernorm|rmsnorm|layernorm1p, "
      "`verify` takes "
      "--activations FILE (see scripts/capture.py)",
      config.path().string(), type, near.empty() ? "" : fmt::format(" (did you mean \"{}\"?)", near[0]), fmt::join(known, ", ")));
}

std::string full_name(std::string_view name, std::string_view prefix, std::int64_t block) {
  std::string full = name.starts_with('/') ? std::string(name.substr(1)) : std::string(prefix).append(name);
  if (const auto place = full.find("{}"); place != std::string::npos) full.replace(place, 2, std::to_string(block));
  return full;
}

namespace {

std::int64_t elements(const std::vector<std::int64_t>& shape) {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}
std::int64_t elements(const std::optional<TensorSpec>& spec) { return spec ? elements(spec->shape) : 0; }
std::int64_t elements(const NormSpec& norm) { return norm.width * (norm.has_bias ? 2 : 1); }
std::int64_t elements(const std::optional<NormSpec>& norm) { return norm ? elements(*norm) : 0; }
std::int64_t elements(const LinearSpec& linear) {
  std::int64_t sum = 0;
  for (const auto* parts : {&linear.weights, &linear.biases})
    for (const TensorSpec& part : *parts) sum += elements(part.shape);
  return sum;
}

}  // namespace

std::int64_t count_parameters(const Architecture& a) {
  const BlockSpec& block = a.block;
  std::int64_t count = elements(a.token_embedding.shape) + elements(a.position_embedding) + elements(a.type_embedding) +
                       elements(a.embedding_norm) + elements(a.final_norm);
  count += a.n_blocks * (elements(block.attention_norm) + elements(block.mlp_norm) + elements(block.attention.qkv) +
                         elements(block.attention.out) + elements(block.mlp.in) + elements(block.mlp.out));
  if (a.pooler) count += elements(*a.pooler);
  if (a.head) {
    if (a.head->transform) count += elements(a.head->transform->dense) + elements(a.head->transform->norm);
    count += elements(a.head->decoder) - (a.head->tied ? elements(a.head->decoder.weights[0].shape) : 0);
  }
  return count;
}

}  // namespace deadray
