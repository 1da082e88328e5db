#include "host/architecture/families/outline.h"

#include <algorithm>
#include <cmath>

#include "host/architecture/families/common.h"

namespace deadray {

LinearSpec linear(const std::vector<std::pair<std::string, std::int64_t>>& parts,
                  std::int64_t inputs, bool bias, double deviation, Storage storage) {
  LinearSpec spec;
  spec.storage = storage;
  spec.inputs = inputs;
  for (const auto& [stem, outputs] : parts) {
    const auto shape =
        storage == Storage::out_in ? std::vector{outputs, inputs} : std::vector{inputs, outputs};
    spec.weights.push_back({stem + ".weight", shape, {Init::Kind::normal, deviation}});
    if (bias) spec.biases.push_back({stem + ".bias", {outputs}, {Init::Kind::zeros}});
    spec.outputs += outputs;
  }
  return spec;
}

void draw_with(LinearSpec& map, double deviation) {
  for (TensorSpec& weight : map.weights) weight.init.deviation = deviation;
}

NormSpec layer_norm(const Config& config, std::string_view key, double default_eps) {
  NormSpec norm;
  norm.kind = NormKind::layernorm;
  norm.eps = config.non_negative(key, default_eps);
  return norm;
}

NormSpec rms_norm(const Config& config, std::string_view key, double default_eps) {
  NormSpec norm;
  norm.kind = NormKind::rmsnorm;
  norm.eps = config.non_negative(key, default_eps);
  norm.has_bias = false;
  return norm;
}

double initializer_range(const Config& config) {
  return config.non_negative("initializer_range", 0.02);
}

NormSpec Parts::norm(std::string name, std::int64_t width) const {
  NormSpec norm = any_norm;
  norm.name = std::move(name);
  norm.width = width;
  return norm;
}

LinearSpec Parts::linear(const std::vector<std::pair<std::string, std::int64_t>>& parts,
                         std::int64_t inputs, bool bias) const {
  return deadray::linear(parts, inputs, bias, deviation);
}

TensorSpec Parts::table(const std::string& stem, std::int64_t rows, std::int64_t width) const {
  return {stem + ".weight", {rows, width}, normal()};
}

namespace {

/// Each map's stem and outputs: one name takes all of `widths` together.
std::vector<std::pair<std::string, std::int64_t>> side_by_side(
    const std::string& layer, const std::vector<std::string>& names,
    const std::vector<std::int64_t>& widths) {
  if (names.size() == 1) {
    std::int64_t all = 0;
    for (const std::int64_t width : widths) all += width;
    return {{layer + names[0], all}};
  }
  std::vector<std::pair<std::string, std::int64_t>> parts;
  for (std::size_t i = 0; i < names.size(); ++i) parts.emplace_back(layer + names[i], widths[i]);
  return parts;
}

}  // namespace

BlockSpec block_of(const Parts& parts, const BlockNames& names, const Biases& biases) {
  const Sizes& sizes = parts.sizes;
  const std::int64_t queries = sizes.n_heads * sizes.head_dim;
  const std::int64_t keys = sizes.n_kv_heads * sizes.head_dim;
  const auto map = [&](const std::vector<std::string>& stems,
                       const std::vector<std::int64_t>& outputs, std::int64_t inputs, bool bias) {
    return linear(side_by_side(names.layer, stems, outputs), inputs, bias, parts.deviation,
                  names.storage);
  };

  BlockSpec block;
  block.attention_norm = parts.norm(names.layer + names.attention_norm);
  if (!names.mlp_norm.empty()) block.mlp_norm = parts.norm(names.layer + names.mlp_norm);
  AttentionSpec& attention = block.attention;
  attention.n_heads = sizes.n_heads;
  attention.n_kv_heads = sizes.n_kv_heads;
  attention.head_dim = sizes.head_dim;
  attention.scale = 1.0 / std::sqrt(static_cast<double>(sizes.head_dim));
  attention.values_are_keys = names.qkv.size() == 2;
  attention.qkv = map(names.qkv, {queries, keys, keys}, sizes.d, biases.qkv);
  attention.out = map({names.out}, {sizes.d}, queries, biases.out);
  block.mlp.gated = names.mlp_in.size() == 2;
  const std::vector<std::int64_t> mlp_widths(names.mlp_in.size(), sizes.mlp_width);
  block.mlp.in = map(names.mlp_in, mlp_widths, sizes.d, biases.mlp);
  block.mlp.out = map({names.mlp_out}, {sizes.d}, sizes.mlp_width, biases.mlp);
  return block;
}

Stack stack_of(const Parts& parts, const BlockNames& names, const Biases& biases,
               const std::string& final_norm) {
  Stack stack;
  stack.hidden_size = parts.sizes.d;
  stack.n_blocks = parts.sizes.n_blocks;
  stack.block_kinds.push_back(block_of(parts, names, biases));
  if (!final_norm.empty()) stack.final_norm = parts.norm(final_norm);
  return stack;
}

Architecture outline(std::string_view family, const Parts& parts, const ModelNames& names,
                     const Biases& biases) {
  Architecture a;
  static_cast<Stack&>(a) = stack_of(parts, names.block, biases, names.final_norm);
  a.family = family;
  a.prefixes = names.prefixes;
  if (names.table.empty()) return a;
  a.vocab_size = parts.sizes.vocab;
  a.tokens.emplace();
  a.tokens->table = parts.table(names.table, parts.sizes.vocab, parts.sizes.table_width);
  return a;
}

void add_positions(Architecture& architecture, const Parts& parts, const std::string& stem,
                   std::int64_t offset) {
  architecture.max_positions = parts.sizes.positions;
  architecture.tokens->position_offset = offset;
  architecture.tokens->positions = parts.table(stem, parts.sizes.positions + offset, parts.sizes.d);
}

void add_head(Architecture& architecture, const Config& config, const LanguageHead& form) {
  if (!names_head(config, form.classes, true)) return;
  const TensorSpec& table = architecture.tokens->table;
  HeadSpec& head = architecture.head.emplace();
  head.decoder =
      linear({{"/lm_head", table.shape[0]}}, table.shape[1], form.bias, table.init.deviation);
  head.tied = config.flag("tie_word_embeddings", form.tied);
}

void change_blocks(Stack& stack, const std::vector<bool>& chosen,
                   const std::function<void(BlockSpec&)>& change) {
  const auto count = std::count(chosen.begin(), chosen.end(), true);
  if (count == 0) return;
  if (count == stack.n_blocks) return change(stack.block_kinds[0]);
  stack.block_kinds.push_back(stack.block_kinds[0]);
  change(stack.block_kinds[1]);
  stack.kind_of.assign(chosen.begin(), chosen.end());
}

}  // namespace deadray
