#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <stdexcept>
#include <string>

#include "host/command_line.h"
#include "host/commands.h"
#include "host/error.h"
#include "kernels/cuda_error.h"
#include "verify/bench_kernels.h"
#include "verify/bench_predict.h"
#include "verify/bench_timing.h"
#include "verify/verify_command.h"

namespace deadray {
namespace {

/// What libtorch throws carries a call stack over many lines: one line of it, and the want of memory by its own name.
[[noreturn]] void rethrow(const c10::Error& error) {
  std::string what = error.what_without_backtrace();
  what.resize(std::min(what.find('\n'), what.size()));
  const auto says = [&](const char* words) { return what.find(words) != std::string::npos; };
  if (says("allocate memory") || says("out of memory") || says("Storage size calculation overflowed")) {
    const std::size_t wanted = what.find("allocate ", std::min(what.find("tried to "), what.size()));
    const std::string bytes = wanted == std::string::npos ? "" : ": could not " + what.substr(wanted, what.find(". ", wanted) - wanted);
    throw ResourceError(fmt::format("not enough memory{}; give fewer tokens, or one norm with --site NAME", bytes));
  }
  throw std::runtime_error(what);
}

/// A device's failures by what the user can do about them.
[[noreturn]] void rethrow(const kernels::CudaError& error) {
  switch (error.kind()) {
    case kernels::CudaError::Kind::no_device:
      throw ResourceError(fmt::format("{}; give another --device", error.what()));
    case kernels::CudaError::Kind::out_of_memory:
      throw ResourceError(
          fmt::format("not enough memory on the device: {}; give fewer tokens, one norm with --site NAME, or --device cpu", error.what()));
    case kernels::CudaError::Kind::other:
      break;
  }
  throw InternalError(error.what());
}

int run(int argc, char** argv) {
  Command chosen;
  CLI::App app("deadray: dead directions of LayerNorm transformers, predicted from gamma and verified by measurement", "deadray");
  app.require_subcommand(1);
  add_verify_command(app, chosen);
  CLI::App& bench = *app.add_subcommand(kBenchCommand.name, kBenchCommand.description);
  bench.require_subcommand(1);
  add_bench_kernels_command(bench, chosen);
  add_bench_predict_command(bench, chosen);
  add_bench_timing_command(bench, chosen);
  return parse_command_line(app, argc, argv) ? chosen() : 0;
}

}  // namespace
}  // namespace deadray

/// The heavy program behind `deadray verify` and `deadray bench`: the light one replaces itself by this.
int main(int argc, char** argv) {
  return deadray::run_program([&] {
    try {
      return deadray::run(argc, argv);
    } catch (const c10::Error& error) {
      deadray::rethrow(error);
    } catch (const deadray::kernels::CudaError& error) {
      deadray::rethrow(error);
    }
  });
}
