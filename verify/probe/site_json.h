#pragma once

#include <nlohmann/json_fwd.hpp>

#include "verify/probe/probe.h"

namespace deadray {

/// An entry of "sites" in the record `deadray/verify/1` (docs/records.md). What was not measured is
/// null; so are NaN and infinity, which JSON lacks.
nlohmann::ordered_json site_json(const SiteResult& result);

}  // namespace deadray
