// deadray: the light program. What needs libtorch is done by deadray-verify beside it, and reports
// by Python; they take over the process.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "host/base/error.h"
#include "host/base/version.h"
#include "host/command/command_line.h"
#include "host/command/commands.h"
#include "host/command/program_folder.h"
#include "host/command/run_program.h"

namespace deadray {
namespace {

/// Replaces this process by deadray-verify with the same arguments.
[[noreturn]] void become_verify(char** argv) {
  const auto folder = program_folder();
  if (!folder) throw ResourceError("/proc/self/exe cannot be read: call deadray-verify directly");
  const auto program = *folder / "deadray-verify";
  // Threads that wait shall spin for microseconds, then sleep. The OpenMP library, which reads this
  // when it is loaded, would let them spin for milliseconds: a busy machine was several times
  // slower. Sleeping at once costs an idle machine a tenth of a large eigendecomposition.
  if (!std::getenv("OMP_WAIT_POLICY")) setenv("GOMP_SPINCOUNT", "10000", /*overwrite=*/0);
  execv(program.c_str(), argv);
  throw ResourceError(
      fmt::format("{}: {}; '{}' needs it: build it with cmake -B build -DDEADRAY_VERIFY=ON && "
                  "cmake --build build --target deadray-verify",
                  program.string(), std::strerror(errno), argv[1]));
}

int run(int argc, char** argv) {
  const auto is_asked_for = [&](const HeavyCommand& command) {
    return argc > 1 && std::string_view(argv[1]) == command.name;
  };
  if (std::any_of(kHeavyCommands.begin(), kHeavyCommands.end(), is_asked_for)) become_verify(argv);
  if (is_asked_for(kReportCommand)) become_report(argc, argv);

  CLI::App app(
      "Predicts which directions of a transformer's activations and parameters are dead, and "
      "proves it by measurement",
      "deadray");
  app.set_version_flag("--version", fmt::format("deadray {}", version()));
  app.require_subcommand(1);
  Command chosen;
  add_predict_command(app, chosen);
  add_census_command(app, chosen);
  for (const HeavyCommand& command : kHeavyCommands)
    app.add_subcommand(command.name, command.description);
  app.add_subcommand(kReportCommand.name, kReportCommand.description);
  add_models_command(app, chosen);
  add_convert_command(app, chosen);
  if (!parse_command_line(app, argc, argv)) return 0;
  return chosen();
}

}  // namespace
}  // namespace deadray

int main(int argc, char** argv) {
  return deadray::run_program([&] { return deadray::run(argc, argv); });
}
