#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "host/command/common_options.h"
#include "verify/calibration/default_calibration.h"

namespace deadray {

/// Where a model's weights come from and what it is run on: the options that `verify` and `fisher`
/// share.
/// @param init            "checkpoint" or "random"
/// @param default_tokens  how many random tokens there are unless told otherwise, for the help
std::vector<CLI::Option*> add_calibration_options(CLI::App& command, std::string& init,
                                                  CalibrationRequest& request,
                                                  std::string_view default_tokens);

}  // namespace deadray
