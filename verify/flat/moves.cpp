#include "verify/flat/moves.h"

#include <utility>

#include "host/base/error.h"
#include "verify/flat/causes.h"

namespace deadray::flat {
namespace {

using Cause = void (*)(Builder&);

constexpr std::array<Cause, kCauses.size()> kBuilders{
    norm_kernel, norm_shift,  norm_scale,  values,        value_bias,  queries_keys,
    key_bias,    homogeneity, along_one,   tables,        rotation,    head_softmax,
    router,      parallel,    layer_scale, maps_in_a_row, qk_layernorm};

}  // namespace

std::optional<Move> move_of(const Model& model, const census::Graph& graph, const Key& key,
                            std::uint64_t seed, std::int64_t number) {
  for (std::size_t i = 0; i < kCauses.size(); ++i) {
    if (kCauses[i] != key.cause) continue;
    Builder builder(model, graph, key, seed, number);
    kBuilders[i](builder);
    return builder.take();
  }
  return std::nullopt;
}

}  // namespace deadray::flat
