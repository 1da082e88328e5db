#pragma once

#include <stdexcept>
#include <string>

namespace deadray {

/// Exit codes of every deadray program; the numbers are a contract with pipelines.
enum class ExitCode : int {
  done = 0,          ///< done, and confirmed or absent as predicted
  refuted = 1,       ///< a measurement contradicts the prediction
  usage = 2,         ///< the command line is wrong
  malformed = 3,     ///< an input file is damaged or contradicts itself
  unsupported = 4,   ///< an architecture or format that deadray does not know
  network = 5,       ///< a download or authorisation failed
  resources = 6,     ///< no such device, not enough memory or disk, or not allowed to write
  internal = 7,      ///< a defect of deadray itself
  undetermined = 8,  ///< measured, but neither confirmed nor refuted
};

/// What the user sees as one line: where (file, tensor, byte), what was found, what was expected,
/// what to do. Library code throws it and never prints; main() alone maps it to the exit code.
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ExitCode code() const noexcept { return code_; }

 private:
  ExitCode code_;
};

template <ExitCode kCode>
class CodedError : public Error {
 public:
  explicit CodedError(const std::string& message) : Error(kCode, message) {}
};

using UsageError = CodedError<ExitCode::usage>;
using MalformedError = CodedError<ExitCode::malformed>;
using UnsupportedError = CodedError<ExitCode::unsupported>;
using NetworkError = CodedError<ExitCode::network>;
using ResourceError = CodedError<ExitCode::resources>;
using InternalError = CodedError<ExitCode::internal>;

}  // namespace deadray
