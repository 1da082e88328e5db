#include "host/census/census_json.h"

#include <nlohmann/json.hpp>
#include <string_view>

#include "host/base/version.h"
#include "host/prediction/prediction_json.h"

namespace deadray {
namespace {

using Json = nlohmann::ordered_json;

Json place_json(std::string_view key, const CensusEntry& entry) {
  return {{key, entry.cause},
          {"stack", entry.stack},
          {"block", entry.block < 0 ? Json() : Json(entry.block)},
          {"dimension", entry.dimension}};
}

}  // namespace

Json to_json(const ModelCensus& model) {
  const Census& census = model.census;
  Json record{{"schema", "deadray/census/1"},
              {"model",
               {{"name", model.name},
                {"hub", to_json(model.hub)},
                {"family", model.family},
                {"weights", model.has_weights}}},
              {"parameters", census.parameters},
              {"flat", census.flat},
              {"unreached", census.unreached},
              {"flat_up_to_eps", census.flat_up_to_eps},
              {"llc_bound", census.llc_bound()},
              {"causes", Json::array()},
              {"up_to_eps", Json::array()},
              {"unreached_tensors", Json::array()},
              {"notes", census.notes},
              {"environment", {{"version", version()}}}};
  for (const CensusEntry& entry : census.causes) {
    Json cause = place_json("cause", entry);
    cause["why"] = entry.why.empty() ? Json() : Json(entry.why);
    record["causes"].push_back(std::move(cause));
  }
  for (const CensusEntry& entry : census.up_to_eps)
    record["up_to_eps"].push_back(place_json("cause", entry));
  for (const CensusEntry& entry : census.unreached_tensors)
    record["unreached_tensors"].push_back({{"name", entry.cause}, {"parameters", entry.dimension}});
  return record;
}

}  // namespace deadray
