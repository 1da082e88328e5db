#include "verify/directional/consumers.h"

#include <fmt/format.h>

#include <algorithm>

#include "host/base/error.h"
#include "verify/layers/output_stage.h"

namespace deadray {

namespace {

/// Calls f(linear, block) for every linear map of the stream, the head's among them.
template <class F>
void for_each_linear_map(const Model& model, F&& f) {
  const Architecture& a = model.architecture;
  for (std::int64_t block = 0; block < a.n_blocks; ++block) {
    const BlockSpec& spec = a.block(block);
    f(spec.attention.qkv, block);
    if (!spec.mlp.routing) {
      f(spec.mlp.in, block);
      continue;
    }
    f(spec.mlp.routing->router, block);
    for (std::int64_t e = 0; e < spec.mlp.routing->n_experts; ++e) f(expert(spec.mlp.in, e), block);
  }
  if (a.output_projection) f(*a.output_projection, std::int64_t{-1});
  if (!model.weights->has_head()) return;
  if (a.head->transform) f(a.head->transform->dense, std::int64_t{-1});
  f(a.head->decoder, std::int64_t{-1});
}

bool is_of(const Model& model, const LinearSpec& linear, const std::string& consumer) {
  const LinearSpec& stored = model.weights->as_stored(linear, -1);
  return std::any_of(stored.weights.begin(), stored.weights.end(), [&](const TensorSpec& part) {
    return model.weights->stem(part, -1) == consumer;
  });
}

}  // namespace

std::optional<std::int64_t> entry_block(const Model& model, const NormSite& site) {
  const Architecture& a = model.architecture;
  const auto is = [&](const NormSpec& norm, std::int64_t block) {
    const auto names = site_names(norm, model.weights->name(norm.name, block));
    return std::find(names.begin(), names.end(), site.name) != names.end();
  };
  if (a.input_norm && is(*a.input_norm, -1)) return 0;
  if (a.final_norm && is(*a.final_norm, -1)) return a.n_blocks;
  if (a.head && a.head->transform && is(a.head->transform->norm, -1)) return a.n_blocks;
  if (site.block < 0 || site.block >= a.n_blocks) return std::nullopt;
  bool found = false;
  for_each_norm(a.block(site.block),
                [&](const NormSpec& norm) { found = found || is(norm, site.block); });
  return found ? std::optional(site.block) : std::nullopt;
}

bool reaches_output(const Model& model, const std::string& consumer) {
  const Architecture& a = model.architecture;
  return !(a.pooler && is_of(model, *a.pooler, consumer)) &&
         !(a.predictor && is_of(model, a.predictor->embedding, consumer));
}

bool is_decoder(const Model& model, const std::string& consumer) {
  return model.weights->has_head() && is_of(model, model.architecture.head->decoder, consumer);
}

at::Tensor load_consumer(const Model& model, const std::string& consumer) {
  const Weights& weights = *model.weights;
  at::Tensor found;
  for_each_linear_map(model, [&](const LinearSpec& linear, std::int64_t block) {
    if (found.defined()) return;
    const LinearSpec& stored = weights.as_stored(linear, block);
    for (const TensorSpec& part : stored.weights) {
      if (weights.stem(part, block) != consumer) continue;
      const bool tied = block < 0 && is_decoder(model, consumer) && model.architecture.head->tied;
      const at::Tensor values =
          weights.load(tied ? model.architecture.tokens->table : part, block, at::kDouble);
      found = stored.storage == Storage::out_in ? values.flatten(1) : values.t();
    }
  });
  if (!found.defined()) throw InternalError(fmt::format("'{}': no such consumer", consumer));
  return found;
}

}  // namespace deadray
