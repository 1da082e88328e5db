#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "host/command/common_options.h"
#include "host/command/json_output.h"

namespace deadray {

/// What a command ends in, as far as its options want it: the record, the table on standard output,
/// the notes on standard error.
/// @param record  makes the record
/// @param table   makes the text, with colours where the terminal takes them
/// @throws ResourceError, ClosedPipe
void deliver(const std::function<nlohmann::ordered_json()>& record,
             const std::function<std::string(bool coloured)>& table,
             const std::vector<std::string>& notes, const JsonOutput& json,
             const OutputOptions& options);

}  // namespace deadray
