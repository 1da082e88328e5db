#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace deadray {

/// How deadray-hub, the program that talks to the network, is found and heard.
struct HubProgram {
  std::filesystem::path beside;  ///< the folder of this program; the PATH is looked at after it
  bool quiet = false;            ///< no progress
  /// What it says on standard error becomes the message of an Error, instead of going where ours
  /// goes: for a library.
  bool keep_messages = false;
};

/// deadray-hub ended without a result and has said why: this program ends with the same code and
/// says nothing more.
struct HubFailed {
  int exit_code;
};

/// In the program's folder, or on the PATH.
/// @throws ResourceError where there is none, saying how to get it
std::filesystem::path find_hub_program(const HubProgram& program);

/// Runs deadray-hub to its end. A stop signal that comes meanwhile is handed on to it.
/// @return its standard output
/// @throws HubFailed, or with keep_messages an Error; Stopped; ResourceError where there is none
std::string run_hub(const HubProgram& program, std::vector<std::string> arguments);

}  // namespace deadray
