#include "host/prediction/model_prediction.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "host/architecture/architecture.h"
#include "host/architecture/catalogued/catalogued_norms.h"
#include "host/architecture/config.h"
#include "host/architecture/discover_norms.h"
#include "host/architecture/fit/fit_to_checkpoint.h"
#include "host/architecture/fit/unread_tensors.h"
#include "host/architecture/gguf/gguf_model.h"
#include "host/architecture/model_config.h"
#include "host/architecture/select_sites.h"
#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/base/stopwatch.h"
#include "host/formats/folder/model_folder.h"
#include "host/formats/tensor_names.h"

namespace deadray {
namespace {

/// What --norm says: the kind, and what is added to a stored scale.
std::pair<NormKind, double> kind_of(StatedNorm norm) {
  return {norm == StatedNorm::rmsnorm ? NormKind::rmsnorm : NormKind::layernorm,
          norm == StatedNorm::layernorm1p ? 1.0 : 0.0};
}

/// The norms that the names tell, of the kind that the user states.
/// @param why  what leaves it to the user
void take_users_word(OpenedModel& model, StatedNorm norm, std::string_view why) {
  const auto [kind, offset] = kind_of(norm);
  DiscoveredNorms found = discover_norms(model.checkpoint, kind, offset);
  model.sites = std::move(found.sites);
  model.notes.push_back(
      fmt::format("{}: norms found by their tensors' names, taken as {}; consumers unknown", why,
                  to_string(norm)));
  model.notes.insert(model.notes.end(), found.notes.begin(), found.notes.end());
}

/// The norms as the catalogue of model types has them.
void look_up(OpenedModel& model, const Config& config, const TypeCatalogue& catalogue) {
  CataloguedNorms found = catalogued_norms(catalogue, config, model.checkpoint);
  model.sites = std::move(found.sites);
  model.family = config.text("model_type");
  model.notes.push_back(fmt::format(
      "model_type {} has no family of its own here: norms as the catalogue of model types has them",
      in_quotes(model.family)));
  model.notes.insert(model.notes.end(), found.notes.begin(), found.notes.end());
}

bool is_catalogued(const TypeCatalogue& catalogue, const std::string& type) {
  const auto known = catalogue.find(type);
  return known && known->failed.empty();
}

/// Whether tensors are called as norms that are of none of the sites.
bool lists_too_few(const OpenedModel& model) {
  const auto& tensors = model.checkpoint.tensors();
  const auto stored = std::count_if(tensors.begin(), tensors.end(), [](const TensorInfo& tensor) {
    return tensor.shape.size() == 1 && looks_like_norm(tensor.name);
  });
  std::ptrdiff_t listed = 0;
  for (const NormSite& site : model.sites)
    listed += (looks_like_norm(site.weight) ? 1 : 0) + (looks_like_norm(site.bias) ? 1 : 0);
  return stored > listed;
}

/// The norms that the family does not describe, of a second tower say, before its own.
void add_from_catalogue(OpenedModel& model, const Config& config,
                        const std::filesystem::path& file) {
  if (!lists_too_few(model)) return;
  const TypeCatalogue catalogue(file);
  const auto type = catalogue.find(model.family);
  if (!type || !type->failed.empty()) return;
  // What the family describes it describes whole: a further block is none by config.json.
  std::set<std::string> described;
  for (const NormSite& site : model.sites) described.insert(pattern_of(site.weight));
  std::vector<NormSite> sites = find_norms(catalogue, *type, config, model.checkpoint).sites;
  std::erase_if(sites,
                [&](const NormSite& site) { return described.contains(pattern_of(site.weight)); });
  if (sites.empty()) return;
  for (NormSite& site : sites) site.is_final = false;
  model.notes.push_back(fmt::format(
      "{} norms that the family {} does not describe are as the catalogue of model types has them",
      sites.size(), model.family));
  model.sites.insert(model.sites.begin(), sites.begin(), sites.end());
}

/// The norms as the family has them.
void describe(OpenedModel& model, const Config& config, const PredictRequest& request) {
  Architecture architecture = describe_architecture(config);
  model.sites = fit_to_checkpoint(architecture, model.checkpoint, request.checkpoint.strict);
  model.family = architecture.family;
  model.parameters = count_parameters(architecture);
  model.notes.insert(model.notes.end(), architecture.notes.begin(), architecture.notes.end());
  add_from_catalogue(model, config, request.catalogue);
  for (const std::string& line : architecture.not_run)
    model.notes.push_back(line +
                          " (verify and fisher refuse this model; its prediction stands all the "
                          "same)");
}

/// The norms of a GGUF of an architecture that has no family.
void take_gguf_norms(OpenedModel& model) {
  DiscoveredNorms found = gguf_norms(model.checkpoint);
  model.sites = std::move(found.sites);
  model.notes.insert(model.notes.end(), found.notes.begin(), found.notes.end());
}

/// The norms as the model's description has them, or the file's keys where these are all there is.
void describe_by_itself(OpenedModel& model, const PredictRequest& request) {
  if (has_config(request.model))
    model.notes.push_back(fmt::format("{}: not read: a GGUF file says itself what its model is",
                                      config_file(request.model).string()));
  if (!is_known_gguf(model.checkpoint)) return take_gguf_norms(model);
  std::optional<Config> config;
  try {
    config = model_config(model.checkpoint);
  } catch (const UnsupportedError& error) {
    take_gguf_norms(model);
    model.notes.push_back(fmt::format("not as a family has it: {}", error.what()));
    return;
  }
  describe(model, *config, request);
}

/// The norms that are described, taken as the kind that the user insists on.
void override_kind(OpenedModel& model, StatedNorm norm) {
  const std::pair stated = kind_of(norm);
  const NormKind kind = stated.first;  // Clang 14 captures no structured bindings
  const double offset = stated.second;
  const auto agrees = [&](const NormSite& site) {
    return site.kind == kind && site.weight_offset == offset;
  };
  const std::string who = model.family.empty()        ? "the GGUF file"
                          : find_family(model.family) ? fmt::format("the family {}", model.family)
                                                      : "the catalogue of model types";
  if (std::all_of(model.sites.begin(), model.sites.end(), agrees)) {
    model.notes.push_back(fmt::format("--norm {} not needed: {} says so", to_string(norm), who));
    return;
  }
  const bool offset_changes =
      std::any_of(model.sites.begin(), model.sites.end(),
                  [&](const NormSite& site) { return site.weight_offset != offset; });
  for (NormSite& site : model.sites) site.kind = kind, site.weight_offset = offset;
  model.notes.push_back(
      fmt::format("--norm {} overrides what {} says of its norms{}", to_string(norm), who,
                  !offset_changes ? ""
                  : offset == 0.0 ? ": the stored scales are taken as they are, nothing is added"
                                  : ": 1 is added to the stored scales"));
}

OpenedModel recognise(const PredictRequest& request) {
  OpenedModel model{Checkpoint::open(request.model, request.checkpoint), {}, {}, {}, {}, 0.0};
  model.notes = model.checkpoint.notes();
  const bool user_says = request.norm.has_value();
  if (describes_itself(model.checkpoint)) {
    describe_by_itself(model, request);
    if (user_says) override_kind(model, *request.norm);
    return model;
  }
  require_model(model.checkpoint);
  if (user_says && !has_config(request.model)) {
    take_users_word(model, *request.norm, "no config.json");
    return model;
  }
  const Config config = Config::load(request.model);
  const std::string type = config.text("model_type", "");
  const bool has_family = find_family(type) != nullptr;
  // Families need no look into the catalogue, half a megabyte, to be described.
  const TypeCatalogue catalogue(has_family || type.empty() ? "" : request.catalogue);
  if (user_says && !has_family && !is_catalogued(catalogue, type)) {
    take_users_word(model, *request.norm,
                    type.empty() ? "config.json has no model_type"
                                 : fmt::format("model_type {} unknown", in_quotes(type)));
    return model;
  }
  try {
    if (catalogue.empty())
      describe(model, config, request);
    else
      look_up(model, config, catalogue);
  } catch (const Error& error) {
    const bool of_the_model =
        error.code() == ExitCode::malformed || error.code() == ExitCode::unsupported;
    if (!user_says || !of_the_model || request.checkpoint.strict) throw;
    take_users_word(model, *request.norm,
                    fmt::format("not as the {} has them ({})",
                                has_family ? "family" : "catalogue of model types", error.what()));
    return model;
  }
  if (user_says) override_kind(model, *request.norm);
  return model;
}

void add_totals(Prediction& prediction) {
  for (const SitePrediction& site : prediction.sites) {
    prediction.dead_directions += site.subspace.dimension;
    for (const DeadParameters& consumer : site.consumers)
      prediction.dead_parameter_directions += consumer.count;
  }
}

void add_notes(Prediction& prediction) {
  NormsByEdge norms_by_edge;
  for (const SitePrediction& site : prediction.sites)
    for (const std::string_view edge : edges_of_range(site.subspace))
      norms_by_edge[edge].push_back(site.site.name);
  note_edges_of_range(norms_by_edge, prediction.notes);
  const auto is_uniform = [](const SitePrediction& site) {
    return site.site.kind == NormKind::layernorm && site.site.weight.empty();
  };
  const auto uniform = std::count_if(prediction.sites.begin(), prediction.sites.end(), is_uniform);
  if (uniform > 0)
    prediction.notes.push_back(
        fmt::format("{} of {} norms are LayerNorms that store no scale: gamma = 1, the dead "
                    "direction is uniform, 1/sqrt(d)",
                    uniform, prediction.sites.size()));
}

}  // namespace

void note_edges_of_range(const NormsByEdge& norms, std::vector<std::string>& notes) {
  for (const auto& [edge, names] : norms)
    notes.push_back(fmt::format("{}: {}", first_few(names), edge));
}

std::string_view to_string(StatedNorm norm) noexcept {
  switch (norm) {
    case StatedNorm::layernorm:
      return "layernorm";
    case StatedNorm::rmsnorm:
      return "rmsnorm";
    case StatedNorm::layernorm1p:
      return "layernorm1p";
  }
  return "?";
}

OpenedModel open_checkpoint_model(const PredictRequest& request) {
  Stopwatch watch;
  OpenedModel model = recognise(request);
  model.seconds = watch.lap();
  return model;
}

Prediction predict_model(const PredictRequest& request, const OpenedModel& model) {
  Prediction result;
  result.name = model_name(request.model);
  result.hub = hub_snapshot(request.model);
  result.family = model.family;
  result.notes = model.notes;
  result.seconds_open = model.seconds;
  result.bytes_read = model.checkpoint.header_bytes();
  result.parameters = model.parameters;

  PredictedNorms norms = predict_norms(model.checkpoint, select_sites(model.sites, request.site),
                                       request.of_each_norm());
  result.sites = std::move(norms.sites);
  result.bytes_read += norms.bytes_read;
  result.seconds_read = norms.seconds_read;
  result.seconds_predict = norms.seconds_predict;
  add_totals(result);
  add_notes(result);
  return result;
}

}  // namespace deadray
