#pragma once

#include <nlohmann/json_fwd.hpp>

#include "verify/probe/probe.h"

// What was measured of a norm, on its way between processes: in CBOR, which keeps every bit of a
// number and those that are none. A record for people is another thing (verify/record).
namespace deadray {

/// All but the site and its prediction, which every process knows.
nlohmann::json measured_json(const SiteResult& result);
/// The inverse: fills the rest of a result that has those.
/// @throws nlohmann::json::exception for anything that measured_json() does not make
void set_measured(SiteResult& result, const nlohmann::json& measured);

}  // namespace deadray
