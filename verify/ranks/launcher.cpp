#include "verify/ranks/launcher.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <thread>

#include "host/base/error.h"
#include "host/base/output.h"
#include "verify/ranks/mpi_module.h"

namespace deadray {
namespace {

/// What the environment says of the processes that were started.
struct Launch {
  const char* variable;
  long processes;
  bool through_mpi;
};

long number_of(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr ? std::strtol(value, nullptr, 10) : 0;
}

/// Empty where there is one process.
std::optional<Launch> launch_of_environment() {
  static constexpr struct {
    const char* variable;
    bool through_mpi;
  } kLaunchers[] = {{"OMPI_COMM_WORLD_SIZE", true},  // Open MPI's mpirun
                    {"PMI_SIZE", true},              // MPICH's, Intel's; srun --mpi=pmi2
                    {"SLURM_STEP_NUM_TASKS", true},  // srun
                    {"WORLD_SIZE", false}};          // torchrun
  for (const auto& [variable, through_mpi] : kLaunchers)
    if (const long processes = number_of(variable); processes > 1)
      return Launch{variable, processes, through_mpi};
  return std::nullopt;
}

/// Whether a launcher has set what MPI finds the other processes by.
bool is_wired() {
  for (const char* variable : {"OMPI_COMM_WORLD_SIZE", "PMIX_NAMESPACE", "PMI_FD", "PMI_RANK"})
    if (std::getenv(variable) != nullptr) return true;
  return false;
}

/// Seconds of a variable, or so many where it is not set.
/// @throws UsageError for anything but a number of seconds
int seconds_of(const char* variable, int otherwise) {
  const char* value = std::getenv(variable);
  if (value == nullptr || *value == '\0') return otherwise;
  int seconds = 0;
  const char* end = value + std::strlen(value);
  if (const auto read = std::from_chars(value, end, seconds);
      read.ec != std::errc() || read.ptr != end || seconds < 1)
    throw UsageError(fmt::format("{} is '{}': expected seconds, 1 or more", variable, value));
  return seconds;
}

std::filesystem::path module_path() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / "libdeadray_mpi.so";
}

MpiEntry* load_module(const Launch& launch) {
  const std::filesystem::path path = module_path();
  const auto refuse = [&](std::string_view why) {
    throw ResourceError(
        fmt::format("{} is {}: several processes share a measurement through MPI, but {}; build "
                    "deadray where CMake finds an MPI (Debian: libopenmpi-dev), or start one",
                    launch.variable, launch.processes, why));
  };
  if (!std::filesystem::exists(path)) refuse(path.string() + " is not there");
  // Its own modules look for MPI's symbols among the global ones.
  void* module = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (module == nullptr) refuse(dlerror());
  auto* entry = reinterpret_cast<MpiEntry*>(dlsym(module, kMpiEntry));
  if (entry == nullptr) refuse(path.string() + " is of another build");
  return entry;
}

Communicator* connect(const Launch& launch) {
  if (!launch.through_mpi)
    throw UsageError(
        fmt::format("{} is {}: torchrun's processes find each other through PyTorch, deadray's "
                    "through MPI; start them with mpirun or srun, or unset the variable where it "
                    "is another program's",
                    launch.variable, launch.processes));
  // MPI itself would end the process with exit code 1, and lines of its own.
  if (!is_wired())
    throw UsageError(
        fmt::format("{} is {}, but srun has not told the processes of each other: give it "
                    "--mpi=pmix, or what `srun --mpi=list` offers of it",
                    launch.variable, launch.processes));
  RankWatch watch;
  watch.silence_seconds = seconds_of("DEADRAY_RANK_TIMEOUT", watch.silence_seconds);
  watch.wait_seconds = seconds_of("DEADRAY_RANK_WAIT", watch.wait_seconds);
  watch.report = [](const char* line) { write_message(line); };
  Communicator* ranks = load_module(launch)(DEADRAY_RANKS_INTERFACE, watch);
  if (ranks == nullptr)
    throw ResourceError(module_path().string() +
                        ": not the module that this program was built with; build both anew");
  if (ranks->size() != launch.processes)
    throw UsageError(
        fmt::format("{} is {}, but MPI connects {}: start them by the launcher of the MPI that "
                    "deadray was built with, or with srun --mpi=pmix",
                    launch.variable, launch.processes, ranks->size()));
  return ranks;
}

Communicator* connected = nullptr;
bool has_ended = false;

}  // namespace

Communicator& connected_ranks() {
  if (connected == nullptr) {
    const std::optional<Launch> launch = launch_of_environment();
    if (!launch) return one_process();
    connected = connect(*launch);
  }
  return *connected;
}

void refuse_several_processes(const char* instead) {
  if (const std::optional<Launch> launch = launch_of_environment())
    throw UsageError(
        fmt::format("{} is {}: {} processes were started, each of which would do everything and "
                    "replace the others' files; {}, or unset the variable where it is another "
                    "program's",
                    launch->variable, launch->processes, launch->processes, instead));
}

int run_with_ranks(const std::function<int()>& body) {
  try {
    const int code = body();
    if (connected != nullptr) connected->finish();
    has_ended = true;
    return code;
  } catch (...) {
    // Where all fail alike, rank 0 says so and ends the others before they repeat it. What another
    // rank alone finds comes so much later.
    constexpr auto kPause = std::chrono::seconds(2);
    if (connected != nullptr && connected->rank() > 0) std::this_thread::sleep_for(kPause);
    throw;
  }
}

int end_ranks(int exit_code) {
  if (connected != nullptr && !has_ended) connected->abort(exit_code);
  return exit_code;
}

}  // namespace deadray
