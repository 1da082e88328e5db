#include <algorithm>
#include <functional>

#include "host/census/causes.h"
#include "host/census/tally.h"

namespace deadray::census {
namespace {

struct OfNorm {
  std::int64_t dimension = 0;
  std::string_view why{};  ///< where it is 0
};

Findings over_norms(const Graph& graph, std::string_view cause,
                    const std::function<OfNorm(const NormUse&)>& of_norm) {
  Tally tally(cause);
  for (const NormUse& norm : graph.norms) {
    const OfNorm found = of_norm(norm);
    tally.add(norm.stack, norm.block, found.dimension, found.why);
  }
  return std::move(tally).take();
}

OfNorm none(std::string_view why) { return {0, why}; }
OfNorm some(std::int64_t dimension) { return {dimension}; }

/// Whether nobody reads the norm but linear maps; else why.
std::string_view other_reader(const NormUse& norm) {
  if (norm.feeds_stream) return "a norm's output is the stream, which others read too";
  if (norm.is_output) return "the norm's output is what the model answers";
  if (norm.readers.empty()) return "no linear map reads the norm";
  return {};
}

bool any_tied(const NormUse& norm) {
  return std::any_of(norm.readers.begin(), norm.readers.end(),
                     [](const MapUse& map) { return map.tied; });
}

}  // namespace

Findings norm_kernel(const Graph& graph) {
  return over_norms(graph, "norm_kernel", [](const NormUse& norm) {
    if (norm.constants.count == 0) return none("an RMSNorm fixes no direction of its output");
    if (norm.readers.empty()) return none("no linear map reads the norm");
    std::int64_t sum = 0;
    for (const MapUse& map : norm.readers)
      sum += map.free_constants() * map.map->outputs * map.copies;
    if (sum > 0) return some(sum);
    return none(any_tied(norm) ? "its reader is tied to the token table"
                               : "no bias takes up the constant, which the shift makes");
  });
}

Findings norm_shift(const Graph& graph) {
  const auto along_stream = shifts_along_streams(graph);
  return over_norms(graph, "norm_shift", [&](const NormUse& norm) {
    if (!norm.spec->has_bias) return none("the norm has no shift");
    if (norm.is_absorbed) return some(norm.spec->width - (norm.is_layernorm() ? 1 : 0));
    if (norm.feeds_stream) {
      const auto shift = along_stream.find(&norm);
      return shift != along_stream.end()
                 ? some(shift->second)
                 : none("the stream carries its shift to norms, or to a writer without bias");
    }
    if (const auto why = other_reader(norm); !why.empty()) return none(why);
    for (const MapUse& map : norm.readers)
      if (!map.writes_constant())
        return none(map.tied ? "its reader has no bias and is tied to the token table"
                             : "its reader has no bias, and the constant that it reads is 0");
    return some(norm.spec->width);
  });
}

Findings norm_scale(const Graph& graph) {
  return over_norms(graph, "norm_scale", [](const NormUse& norm) {
    if (!norm.spec->has_scale) return none("the norm stores no scale");
    if (norm.is_absorbed) return some(norm.spec->width);
    if (const auto why = other_reader(norm); !why.empty()) return none(why);
    if (any_tied(norm)) return none("its reader is tied to the token table");
    return some(norm.spec->width - static_cast<std::int64_t>(norm.zeros.size()));
  });
}

}  // namespace deadray::census
