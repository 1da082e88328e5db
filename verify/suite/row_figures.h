#pragma once

#include <nlohmann/json.hpp>

#include "verify/probe/verdict.h"

// What the record of one row says in short.
namespace deadray {

/// The worst verdict on a record's norms, in the order refuted, undetermined, confirmed, absent.
Verdict worst_verdict(const nlohmann::ordered_json& record);

/// The figures of a row in the record of a suite: those of the final norm, and the worst verdict on
/// any.
/// @throws Json::exception for a record without them
nlohmann::ordered_json row_figures(const nlohmann::ordered_json& record);

}  // namespace deadray
