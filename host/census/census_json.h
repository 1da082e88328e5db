#pragma once

#include <nlohmann/json_fwd.hpp>

#include "host/census/census_model.h"

namespace deadray {

/// The record "deadray/census/1".
nlohmann::ordered_json to_json(const ModelCensus& model);

}  // namespace deadray
