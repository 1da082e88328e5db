#pragma once

#include <string>

#include "host/census/census_model.h"

namespace deadray {

/// The table that `deadray census` shows: by cause, blocks that are alike in one row; then the
/// sums.
std::string to_text(const ModelCensus& model, bool coloured);

}  // namespace deadray
