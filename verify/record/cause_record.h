#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "verify/flat/cause_fisher.h"
#include "verify/record/record.h"

namespace deadray {

/// The record `deadray/fisher/1` of `fisher --causes`: docs/records.md.
nlohmann::ordered_json cause_record(const RecordHeader& header,
                                    const flat::CauseMeasurement& measurement,
                                    const flat::CauseOptions& options,
                                    const Backend& backend = cpu_backend());

/// The same for people, ending in '\n'.
std::string narrate(const RecordHeader& header, const flat::CauseMeasurement& measurement,
                    bool coloured);

}  // namespace deadray
