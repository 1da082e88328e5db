#include "host/command/run_program.h"

#include <fmt/format.h>

#include <csignal>
#include <exception>
#include <new>
#include <string_view>
#include <utility>

#include "host/base/error.h"
#include "host/base/output.h"
#include "host/base/stop_signals.h"
#include "host/base/version.h"
#include "host/command/command_line.h"

namespace deadray {
namespace {

constexpr int kClosedPipe = 128 + SIGPIPE;

std::string process_name = "deadray";

int fail(ExitCode code, std::string_view message) {
  write_message(fmt::format("{}: {}", process_name, message));
  return static_cast<int>(code);
}

/// Of what only a defect can throw.
int fail_internally(std::string_view what) {
  return fail(ExitCode::internal,
              fmt::format("internal error{}; this is a defect of deadray {}, please report it",
                          what, version()));
}

}  // namespace

void name_process(std::string name) { process_name = std::move(name); }

int run_program(const std::function<int()>& body) {
  try {
    return body();
  } catch (const Error& error) {
    return fail(error.code(), error.what());
  } catch (const ClosedPipe&) {
    return kClosedPipe;
  } catch (const Stopped& stopped) {
    return 128 + stopped.signal;
  } catch (const std::bad_alloc&) {
    return fail(ExitCode::resources, "not enough memory");
  } catch (const std::exception& error) {
    return fail_internally(fmt::format(": {}", error.what()));
  } catch (...) {
    return fail_internally(" of an unknown kind");
  }
}

}  // namespace deadray
