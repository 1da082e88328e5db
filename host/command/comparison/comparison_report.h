#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "host/prediction/compare_models.h"

namespace deadray {

/// The record "deadray/predict-several/1".
nlohmann::ordered_json to_json(const SeveralPredictions& several);
/// The table and the summary for people: a row for each norm, or, where one norm was asked for, a
/// row for each model.
std::string to_text(const SeveralPredictions& several, bool coloured);
/// The notes on every model, equal ones once with the models that they hold of, and on what was not
/// compared.
std::vector<std::string> notes_of(const SeveralPredictions& several);

}  // namespace deadray
