#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "verify/fisher/fisher_options.h"
#include "verify/fisher/fisher_result.h"
#include "verify/record/record.h"

namespace deadray {

/// The record `deadray/fisher/1` of docs/records.md.
nlohmann::ordered_json fisher_record(const RecordHeader& header,
                                     const FisherMeasurement& measurement,
                                     const FisherOptions& options,
                                     const Backend& backend = cpu_backend());

/// The same for people, ending in '\n'.
std::string narrate(const RecordHeader& header, const FisherMeasurement& measurement,
                    bool coloured);

/// A number of such a record as a table's cell: "1.2e-30", or "-" where it is null.
std::string fisher_cell(const nlohmann::ordered_json& value);

}  // namespace deadray
