#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "verify/device/backend.h"

namespace deadray {

/// What can change the last digits of a figure: version, device, threads, libtorch, CUDA.
/// @param hosts  of each rank; empty: one process
nlohmann::ordered_json environment_json(const Backend& backend = cpu_backend(),
                                        const std::vector<std::string>& hosts = {});

}  // namespace deadray
