#include "host/census/norm_states.h"

#include <algorithm>
#include <span>
#include <string>
#include <unordered_map>

#include "host/architecture/catalogue.h"
#include "host/architecture/norm_parameters.h"

namespace deadray::census {
namespace {

bool all_zero(std::span<const double> values) {
  return std::all_of(values.begin(), values.end(), [](double x) { return x == 0.0; });
}

void set_generic(NormUse& norm) {
  if (norm.is_layernorm()) norm.constants = {1, !norm.spec->has_bias};
}

void set_stored(NormUse& norm, const NormParameters& stored) {
  std::vector<double> shifts_of_zeros;
  for (std::size_t i = 0; i < stored.gamma.size(); ++i) {
    if (stored.gamma[i] != 0.0) continue;
    norm.zeros.push_back(static_cast<std::int64_t>(i));
    if (!stored.beta.empty()) shifts_of_zeros.push_back(stored.beta[i]);
  }
  if (!norm.zeros.empty())
    norm.constants = {static_cast<std::int64_t>(norm.zeros.size()), all_zero(shifts_of_zeros)};
  else if (norm.is_layernorm())
    norm.constants = {1, all_zero(stored.beta)};
}

void read_states(Graph& graph, const Checkpoint* checkpoint) {
  if (checkpoint == nullptr) {
    for (NormUse& norm : graph.norms) set_generic(norm);
    return;
  }
  const Architecture& architecture = *graph.architecture;
  const std::string prefix = checkpoint_prefix(architecture, *checkpoint);
  std::unordered_map<std::string, NormSite> sites;
  for (NormSite& site : norm_sites(architecture, checkpoint)) {
    std::string name = site.name;
    sites.emplace(std::move(name), std::move(site));
  }
  for (NormUse& norm : graph.norms) {
    const auto site = sites.find(full_name(norm.spec->name, prefix, norm.block));
    if (site == sites.end())
      set_generic(norm);
    else
      set_stored(norm, load_norm(*checkpoint, site->second));
  }
}

/// NormUse::is_absorbed of the norms behind tables. Each follows its table's segment.
void find_absorbed(Graph& graph) {
  for (std::size_t i = 0; i + 1 < graph.segments.size(); ++i) {
    const Segment& table = graph.segments[i];
    const Segment& stream = graph.segments[i + 1];
    if (table.events.size() != 2 || table.events[0].kind != Event::Kind::table ||
        table.events[0].tied || stream.events.empty() || stream.events[0].kind != Event::Kind::norm)
      continue;
    const NormUse* norm = stream.events[0].norm;
    if (norm != table.events[1].norm || !norm->spec->has_scale || norm->spec->eps == 0.0 ||
        !norm->zeros.empty() || (norm->is_layernorm() && !stream.ignores_one_after(0)))
      continue;
    std::find_if(graph.norms.begin(), graph.norms.end(), [&](const NormUse& use) {
      return &use == norm;
    })->is_absorbed = true;
  }
}

}  // namespace

void set_states(Graph& graph, const Checkpoint* checkpoint) {
  read_states(graph, checkpoint);
  find_absorbed(graph);
}

}  // namespace deadray::census
