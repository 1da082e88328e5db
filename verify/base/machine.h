#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace deadray {

/// The commit that this program was built from, with "-dirty" where files differed from it.
/// "unknown" where it was built outside a repository.
std::string_view build_commit() noexcept;

/// What kind of machine this is, for a reader of its figures.
struct Machine {
  /// "AMD EPYC 9654 96-Core Processor"; the instruction set where the system names no model.
  std::string cpu;
  int cores = 0;  ///< that this process may use
  std::int64_t memory_bytes = 0;
};
Machine this_machine();

/// The most memory that this process has held at once, program and libraries included. 0 where the
/// system does not say.
std::int64_t peak_memory_bytes();

}  // namespace deadray
