#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "host/hub/hub_program.h"

namespace deadray {

/// In the program's folder, or on the PATH.
/// @throws ResourceError where there is none, saying how to get it
std::filesystem::path find_hub_program(const HubProgram& program);

/// Runs deadray-hub to its end. A stop signal that comes meanwhile is handed on to it.
/// @return its standard output
/// @throws HubFailed, or with keep_messages an Error; Stopped; ResourceError where there is none
std::string run_hub(const HubProgram& program, std::vector<std::string> arguments);

}  // namespace deadray
