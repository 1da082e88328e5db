#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "host/command/inputs.h"

namespace deadray {

/// Where a record goes: a file, "-" for standard output, "" for nowhere. Checked before the work,
/// so that an unwritable place costs no computation. A file appears whole or not at all.
class JsonOutput {
 public:
  /// @param inputs  what the command reads: no record replaces any of it
  /// @throws UsageError, ResourceError naming the path and the reason
  JsonOutput(std::string path, const Inputs& inputs);
  bool wanted() const noexcept { return !path_.empty(); }
  /// @throws ResourceError, ClosedPipe
  void write(const nlohmann::ordered_json& record) const;

 private:
  std::string path_;
};

}  // namespace deadray
