// deadray report: Python draws, so the process becomes scripts/lib/report.py.
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "host/base/error.h"
#include "host/command/commands.h"
#include "host/command/program_folder.h"

namespace deadray {
namespace {

namespace fs = std::filesystem;

std::string from_environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

/// Where lib/report.py lies: $DEADRAY_SCRIPTS, or what was installed with the program, or the
/// sources that it was built from.
fs::path find_scripts() {
  if (const std::string chosen = from_environment("DEADRAY_SCRIPTS"); !chosen.empty())
    return chosen;
  std::error_code ignored;
  if (const auto installed = share_folder();
      installed && fs::exists(*installed / "lib/report.py", ignored))
    return *installed;
  return DEADRAY_SOURCE_SCRIPTS;
}

/// $DEADRAY_PYTHON, or the virtual environment that scripts/setup makes beside the scripts, or
/// python3 of the PATH.
std::string find_python(const fs::path& scripts) {
  if (std::string chosen = from_environment("DEADRAY_PYTHON"); !chosen.empty()) return chosen;
  const fs::path own = scripts.parent_path() / ".venv/bin/python";
  std::error_code failed;
  return fs::exists(own, failed) ? own.string() : "python3";
}

}  // namespace

void become_report(int argc, char** argv) {
  const fs::path scripts = find_scripts(), script = scripts / "lib/report.py";
  std::error_code failed;
  if (!fs::exists(script, failed))
    throw ResourceError(
        fmt::format("{}: no such file; 'report' needs it: set DEADRAY_SCRIPTS to the folder "
                    "scripts of deadray's sources",
                    script.string()));
  const std::string python = find_python(scripts);
  std::string file = script.string(), program = python;
  std::string no_bytecode = "-B";  // an installation is not written to
  std::vector<char*> arguments{program.data(), no_bytecode.data(), file.data()};
  for (int i = 2; i < argc; ++i) arguments.push_back(argv[i]);
  arguments.push_back(nullptr);
  execvp(python.c_str(), arguments.data());
  throw ResourceError(
      fmt::format("{}: {}; 'report' needs Python: run scripts/setup --report, or set "
                  "DEADRAY_PYTHON to an interpreter that has matplotlib",
                  python, std::strerror(errno)));
}

}  // namespace deadray
