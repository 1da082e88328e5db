#include "verify/flat/moves.h"

#include "verify/flat/causes.h"

namespace deadray::flat {
namespace {

struct Cause {
  std::string_view name;
  void (*build)(Builder&);
};

constexpr Cause kCauses[] = {
    {"norm_kernel", norm_kernel},
    {"norm_shift", norm_shift},
    {"norm_scale", norm_scale},
    {"values", values},
    {"value_bias", value_bias},
    {"queries_keys", queries_keys},
    {"key_bias", key_bias},
    {"homogeneity", homogeneity},
    {"along_one", along_one},
    {"tables", tables},
    {"rotation", rotation},
    {"head_softmax", head_softmax},
    {"router", router},
    {"parallel", parallel},
    {"layer_scale", layer_scale},
    {"maps_in_a_row", maps_in_a_row},
    {"qk_layernorm", qk_layernorm},
};

}  // namespace

std::vector<std::string_view> known_causes() {
  std::vector<std::string_view> names;
  for (const Cause& cause : kCauses) names.push_back(cause.name);
  return names;
}

std::optional<Move> move_of(const Model& model, const census::Graph& graph, const Key& key,
                            std::uint64_t seed, std::int64_t number) {
  for (const Cause& cause : kCauses) {
    if (cause.name != key.cause) continue;
    Builder builder(model, graph, key, seed, number);
    cause.build(builder);
    return builder.take();
  }
  return std::nullopt;
}

}  // namespace deadray::flat
