#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace deadray {

/// The commit that this program was built from, "-dirty" where files differed from it; "unknown"
/// without a repository.
std::string_view build_commit() noexcept;

/// What kind of machine this is, for a reader of its figures.
struct Machine {
  std::string cpu;  ///< "AMD EPYC 9654 96-Core Processor", or the instruction set where the kernel
                    ///< names no model
  int cores = 0;    ///< that this process may use
  std::int64_t memory_bytes = 0;  ///< of the machine
};
Machine this_machine();

/// The most memory that this process has held at once, program and libraries included; 0 where the
/// kernel does not say.
std::int64_t peak_memory_bytes();

}  // namespace deadray
