#include "host/prediction/prediction_json.h"

#include <nlohmann/json.hpp>

#include "host/base/version.h"

namespace deadray {
namespace {

using Json = nlohmann::ordered_json;

Json site_json(const SitePrediction& prediction) {
  const auto& [site, subspace, consumers, stored, evidence] = prediction;
  Json record{{"name", site.name},
              {"norm", to_string(site.kind)},
              {"hidden_size", site.hidden_size},
              {"predicted", to_json(subspace)},
              {"gamma", gamma_json(site, subspace)},
              {"consumers", Json::array()}};
  record["gamma"]["stored"] = site.weight.empty() ? "none" : to_string(stored);
  for (const DeadParameters& c : consumers)
    record["consumers"].push_back({{"name", c.consumer},
                                   {"width", c.width},
                                   {"family", to_string(c.family)},
                                   {"count", c.count},
                                   {"why", c.why}});
  if (evidence) record["classified"] = to_json(*evidence);
  return record;
}

}  // namespace

Json to_json(const DeadSubspace& s) {
  return {{"dimension", s.dimension},
          {"coordinates", s.coordinates},
          {"constant", s.constant ? Json(*s.constant) : Json()},
          {"tau", s.tau},
          {"variance_bound", s.variance_bound},
          {"deployed_floor", s.deployed_floor}};
}

Json to_json(const std::optional<HubSnapshot>& hub) {
  if (!hub) return {};
  const auto text = [](const std::string& value) { return value.empty() ? Json() : Json(value); };
  Json record{{"repository", text(hub->repository)},
              {"commit", text(hub->commit)},
              {"revision", text(hub->revision)}};
  if (!hub->url.empty()) record["url"] = hub->url;
  if (!hub->endpoint.empty()) record["endpoint"] = hub->endpoint;
  if (hub->traffic) record.update(to_json(*hub->traffic));
  return record;
}

Json to_json(const HubTraffic& traffic) {
  return {{"bytes", traffic.bytes},
          {"requests", traffic.requests},
          {"round_trips", traffic.round_trips}};
}

Json gamma_json(const NormSite& site, const DeadSubspace& subspace) {
  return {{"min", subspace.gamma_min},
          {"max", subspace.gamma_max},
          {"offset", static_cast<int>(site.weight_offset)}};
}

Json to_json(const NormEvidence& evidence) {
  Json record{{"source", to_string(evidence.source)},
              {"suggests", evidence.suggested ? Json(to_string(*evidence.suggested)) : Json()}};
  if (evidence.source == NormEvidence::Source::consumers)
    record.update({{"rho", evidence.rho}, {"null", {evidence.null_low, evidence.null_high}}});
  return record;
}

Json to_json(const Prediction& p) {
  Json record{
      {"schema", "deadray/predict/1"},
      {"model",
       {{"name", p.name},
        {"hub", to_json(p.hub)},
        {"family", p.family.empty() ? Json() : Json(p.family)},
        {"parameters", p.parameters ? Json(*p.parameters) : Json()}}},
      {"sites", Json::array()},
      {"totals",
       {{"dead_directions", p.dead_directions},
        {"dead_parameter_directions", p.dead_parameter_directions},
        {"llc_lowering", static_cast<double>(p.dead_parameter_directions) / 2}}},
      {"notes", p.notes},
      {"bytes_read", p.bytes_read},
      {"seconds",
       {{"open", p.seconds_open}, {"read", p.seconds_read}, {"predict", p.seconds_predict}}},
      {"environment", {{"version", version()}}}};
  for (const SitePrediction& site : p.sites) record["sites"].push_back(site_json(site));
  return record;
}

}  // namespace deadray
