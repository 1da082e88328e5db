#include "host/prediction/compare_models.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "host/architecture/norm_parameters.h"
#include "host/architecture/select_sites.h"
#include "host/base/error.h"
#include "host/base/in_quotes.h"

namespace deadray {
namespace {

/// Whether two names are of one norm, although one may lack leading components.
bool is_one_norm(std::string_view one, std::string_view other) {
  const auto [shorter, longer] =
      one.size() < other.size() ? std::pair(one, other) : std::pair(other, one);
  return longer.ends_with(shorter) &&
         (longer.size() == shorter.size() || longer[longer.size() - shorter.size() - 1] == '.');
}

/// Finds a model's norms by the names that another has for them.
class NormsByName {
 public:
  explicit NormsByName(const std::vector<NormSite>& sites) : sites_(sites) {
    for (const NormSite& site : sites) by_name_.emplace(site.name, &site);
  }
  /// nullptr where there is none, or more than one.
  const NormSite* find(const std::string& name) const {
    if (const auto exact = by_name_.find(name); exact != by_name_.end()) return exact->second;
    const NormSite* found = nullptr;
    for (const NormSite& site : sites_)
      if (is_one_norm(site.name, name) && std::exchange(found, &site) != nullptr) return nullptr;
    return found;
  }

 private:
  const std::vector<NormSite>& sites_;
  std::map<std::string_view, const NormSite*> by_name_;
};

struct LoadedNorm {
  std::vector<double> gamma;
  DeadSubspace subspace;
};

LoadedNorm load_and_predict(const OpenedModel& model, const NormSite& site,
                            const PredictOptions& options) {
  NormParameters norm = load_norm(model.checkpoint, site);
  DeadSubspace subspace = predict(site.kind, norm.gamma, norm.beta, options, gamma_name(site));
  return {std::move(norm.gamma), std::move(subspace)};
}

std::string described(const NormSite& site) {
  return fmt::format("{} of width {}", to_string(site.kind), site.hidden_size);
}

Prediction predict_kept(PredictRequest request, const std::filesystem::path& path,
                        const OpenedModel& model) {
  request.model = path;
  request.site = "all";  // of those that were kept
  return predict_model(request, model);
}

/// Leaves the norms that the chosen ones of the first model name.
void keep_counterparts(OpenedModel& model, const std::vector<NormSite>& chosen) {
  const NormsByName norms(model.sites);
  std::vector<NormSite> kept;
  for (const NormSite& site : chosen)
    if (const NormSite* found = norms.find(site.name)) kept.push_back(*found);
  model.sites = std::move(kept);
}

std::string counted(const std::vector<std::string>& names) {
  return fmt::format("{} norm{} ({})", names.size(), names.size() == 1 ? "" : "s",
                     first_few(names));
}

void note_what_differs(SeveralPredictions& result) {
  const std::string first = on_one_line(result.series.labels.front(), 100);
  for (std::size_t i = 0; i < result.pairs.size(); ++i) {
    const ModelComparison& pair = result.pairs[i];
    const std::string label = on_one_line(result.series.labels[i + 1], 100);
    if (!pair.missing.empty())
      result.notes.push_back(
          fmt::format("{}: lacks {} of {}", label, counted(pair.missing), first));
    if (!pair.more.empty())
      result.notes.push_back(
          fmt::format("{}: has {} that {} lacks", label, counted(pair.more), first));
    if (!pair.not_compared.empty())
      result.notes.push_back(
          fmt::format("{}: not compared with {}: {}", label, first, first_few(pair.not_compared)));
  }
}

void require_common_norm(const SeveralPredictions& result) {
  const auto is_without = [](const ModelComparison& pair) { return pair.norms.empty(); };
  if (!std::all_of(result.pairs.begin(), result.pairs.end(), is_without)) return;
  const ModelComparison& pair = result.pairs.front();
  std::string found =
      pair.not_compared.empty()
          ? fmt::format("the first has {}, the second {}", counted(pair.missing),
                        pair.more.empty() ? "none of that name" : counted(pair.more))
          : first_few(pair.not_compared);
  throw UsageError(fmt::format(
      "{}: no norm of the same name, kind and width in any of the others ({}); give models that "
      "have norms in common, or predict each alone",
      on_one_line(result.series.models.front().string(), 200), found));
}

}  // namespace

ModelComparison compare_models(const OpenedModel& first, const OpenedModel& other,
                               const PredictOptions& options) {
  const NormsByName there(other.sites);
  ModelComparison result;
  std::set<const NormSite*> met;
  for (std::size_t i = 0; i < first.sites.size(); ++i) {
    const NormSite& site = first.sites[i];
    const NormSite* counterpart = there.find(site.name);
    if (counterpart == nullptr) {
      result.missing.push_back(site.name);
      continue;
    }
    met.insert(counterpart);
    if (counterpart->kind != site.kind || counterpart->hidden_size != site.hidden_size) {
      result.not_compared.push_back(
          fmt::format("{} is {}, not {}", site.name, described(*counterpart), described(site)));
      continue;
    }
    const LoadedNorm a = load_and_predict(first, site, options),
                     b = load_and_predict(other, *counterpart, options);
    result.norms.push_back(
        {i,
         counterpart->name,
         compare_norms(a.gamma, a.subspace, b.gamma, b.subspace),
         {a.subspace.dimension, b.subspace.dimension},
         {a.subspace.gamma_min, b.subspace.gamma_min},
         {std::ssize(a.subspace.coordinates), std::ssize(b.subspace.coordinates)}});
  }
  for (const NormSite& site : other.sites)
    if (!met.contains(&site)) result.more.push_back(site.name);
  return result;
}

SeveralPredictions predict_several(const PredictRequest& request,
                                   const std::vector<std::filesystem::path>& models,
                                   const std::vector<std::string>& labels) {
  const auto open = [&](const std::filesystem::path& path) {
    PredictRequest one = request;
    one.model = path;
    return open_checkpoint_model(one);
  };
  for (const std::filesystem::path& path : models) open(path);

  SeveralPredictions result{order_models(models, labels), {}, {}, {}, {}};
  const auto& paths = result.series.models;
  OpenedModel first = open(paths.front());
  first.sites = select_sites(first.sites, request.site);
  result.predictions.push_back(predict_kept(request, paths.front(), first));
  for (std::size_t i = 1; i < paths.size(); ++i) {
    OpenedModel other = open(paths[i]);
    if (request.site != "all") keep_counterparts(other, first.sites);
    result.predictions.push_back(predict_kept(request, paths[i], other));
    result.pairs.push_back(compare_models(first, other, request.predict));
  }
  require_common_norm(result);
  note_what_differs(result);
  return result;
}

}  // namespace deadray
