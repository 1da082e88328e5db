#include "verify/command/one_process.h"

#include <fmt/format.h>

#include <cstdlib>

#include "host/base/error.h"

namespace deadray {

void refuse_several_processes() {
  struct Launcher {
    const char *variable, *way_out;
  };
  static constexpr Launcher kLaunchers[] = {
      {"WORLD_SIZE", "start deadray without torchrun"},
      {"SLURM_STEP_NUM_TASKS", "start it with srun --ntasks=1"}};
  for (const auto& [variable, way_out] : kLaunchers) {
    const char* value = std::getenv(variable);
    const long processes = value != nullptr ? std::strtol(value, nullptr, 10) : 0;
    if (processes > 1)
      throw UsageError(
          fmt::format("{} is {}: {} processes were started, each of which would measure everything "
                      "and replace the others' records; {}, or "
                      "unset the variable where it is another program's, and split a suite over a "
                      "job array with --shard",
                      variable, value, processes, way_out));
  }
}

}  // namespace deadray
