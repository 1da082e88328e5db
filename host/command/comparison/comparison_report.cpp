#include "host/command/comparison/comparison_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <utility>

#include "host/base/in_quotes.h"
#include "host/base/version.h"
#include "host/prediction/prediction_json.h"

namespace deadray {
namespace {

using Json = nlohmann::ordered_json;

Json pair_json(const NormPair& pair, const NormSite& site) {
  const auto& dead = pair.change.dead;
  const auto number = [&](double Alignment::* member) {
    return dead ? Json((*dead).*member) : Json();
  };
  return {{"name", site.name},
          {"name_there", pair.name_there},
          {"norm", to_string(site.kind)},
          {"final", site.is_final},
          {"hidden_size", site.hidden_size},
          {"abs_cos", number(&Alignment::abs_cos)},
          {"one_minus_abs_cos", number(&Alignment::one_minus_abs_cos)},
          {"angle", number(&Alignment::angle)},
          {"gamma_change", pair.change.gamma},
          {"dimension", pair.dimensions},
          {"gamma_min", pair.gamma_min},
          {"coordinates", pair.coordinates}};
}

}  // namespace

Json to_json(const SeveralPredictions& several) {
  Json record{{"schema", "deadray/predict-several/1"},
              {"labels", several.series.labels},
              {"steps", several.series.steps.empty() ? Json() : Json(several.series.steps)},
              {"pairs", Json::array()},
              {"models", Json::array()},
              {"notes", several.notes},
              {"environment", {{"version", version()}}}};
  if (several.traffic) record["hub"] = to_json(*several.traffic);
  for (std::size_t i = 0; i < several.pairs.size(); ++i) {
    const ModelComparison& pair = several.pairs[i];
    Json norms = Json::array();
    for (const NormPair& norm : pair.norms)
      norms.push_back(pair_json(norm, several.predictions.front().sites[norm.norm].site));
    record["pairs"].push_back({{"model", i + 1},
                               {"norms", std::move(norms)},
                               {"missing", pair.missing},
                               {"more", pair.more},
                               {"not_compared", pair.not_compared}});
  }
  for (const Prediction& prediction : several.predictions)
    record["models"].push_back(to_json(prediction));
  return record;
}

std::vector<std::string> notes_of(const SeveralPredictions& several) {
  std::vector<std::pair<std::string, std::vector<std::string>>> found;  // a note and its models
  for (std::size_t i = 0; i < several.predictions.size(); ++i)
    for (const std::string& note : several.predictions[i].notes) {
      auto at = std::find_if(found.begin(), found.end(),
                             [&](const auto& known) { return known.first == note; });
      if (at == found.end()) at = found.insert(found.end(), {note, {}});
      at->second.push_back(several.series.labels[i]);
    }
  std::vector<std::string> notes;
  for (const auto& [note, labels] : found)
    notes.push_back(fmt::format("{}: {}",
                                labels.size() == several.predictions.size()
                                    ? fmt::format("all {} models", labels.size())
                                    : first_few(labels),
                                note));
  notes.insert(notes.end(), several.notes.begin(), several.notes.end());
  return notes;
}

}  // namespace deadray
