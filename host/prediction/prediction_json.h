#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "host/prediction/model_prediction.h"

namespace deadray {

/// The record "deadray/predict/1".
nlohmann::ordered_json to_json(const Prediction& prediction);
/// {"dimension", "coordinates", "constant", "tau", "variance_bound", "deployed_floor"}, as records
/// of every kind hold it.
nlohmann::ordered_json to_json(const DeadSubspace& subspace);
/// {"source", "suggests"} and, where the consumers were asked, {"rho", "null"}.
nlohmann::ordered_json to_json(const NormEvidence& evidence);
/// {"repository", "commit", "revision"}, and of what was fetched "endpoint" and the traffic, of a
/// URL "url"; null where a model is neither of the hub nor of its cache.
nlohmann::ordered_json to_json(const std::optional<HubSnapshot>& hub);
nlohmann::ordered_json to_json(const HubTraffic& traffic);
/// {"min", "max", "offset"}: the range of |gamma|, and what was added to the stored tensor.
nlohmann::ordered_json gamma_json(const NormSite& site, const DeadSubspace& subspace);

}  // namespace deadray
