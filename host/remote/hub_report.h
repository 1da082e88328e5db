#pragma once

#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "host/remote/http_client.h"
#include "host/remote/repository_fetch.h"

namespace deadray {

/// What deadray-hub writes to standard output ("deadray/hub/1"): the models and where they are, and
/// what the network was asked for.
nlohmann::ordered_json to_json(const std::vector<LocalModel>& models, const HttpClient& client,
                               double seconds);

}  // namespace deadray
