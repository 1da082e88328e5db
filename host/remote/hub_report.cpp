#include "host/remote/hub_report.h"

#include <nlohmann/json.hpp>

#include "host/remote/url.h"

namespace deadray {

nlohmann::ordered_json to_json(const std::vector<LocalModel>& models, const HttpClient& client,
                               double seconds) {
  using Json = nlohmann::ordered_json;
  Json list = Json::array();
  for (const LocalModel& model : models) {
    const bool is_url = !model.name.url.empty();
    list.push_back(
        Json{{"name", is_url ? shown_url(model.name.url) : model.name.repository},
             {"revision", is_url ? Json() : Json(model.name.revision)},
             {"commit", is_url ? Json() : Json(model.commit)},
             {"folder", model.folder.string()},
             {"endpoint", is_url ? origin_of(model.name.url) : shown_endpoint(client.settings())},
             {"source", model.from_network ? "network" : "cache"},
             {"file", model.file.empty() ? Json() : Json(model.file)}});
  }
  const HttpTotals& totals = client.totals();
  return {{"schema", "deadray/hub/1"},
          {"models", std::move(list)},
          {"bytes", totals.bytes},
          {"requests", totals.requests},
          {"redirects", totals.redirects},
          {"round_trips", totals.round_trips},
          {"seconds", seconds}};
}

}  // namespace deadray
