#include "host/command/command_line.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <csignal>
#include <limits>
#include <new>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "host/base/atomic_file.h"
#include "host/base/error.h"
#include "host/base/near_names.h"
#include "host/base/output.h"
#include "host/base/stop_signals.h"
#include "host/base/version.h"

namespace deadray {
namespace {

constexpr int kClosedPipe = 128 + SIGPIPE;

/// Names a user could have meant: the options and subcommands of the subcommand that was reached.
std::vector<std::string> names_of(const CLI::App& app, bool options) {
  std::vector<std::string> names;
  if (options)
    for (const CLI::Option* option : app.get_options())
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  else
    for (const CLI::App* command : app.get_subcommands(nullptr))
      names.push_back(command->get_name());
  return names;
}

[[noreturn]] void throw_usage_error(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* reached = &app;
  std::string way = app.get_name();
  while (!reached->get_subcommands().empty())
    way += " " + (reached = reached->get_subcommands().front())->get_name();
  const std::string way_out = fmt::format("; see {} --help", way);
  const auto extras = app.remaining(true);
  if (!extras.empty()) {
    const std::string& extra = extras.front();
    if (extra.starts_with("-")) {
      const std::string name = extra.substr(0, extra.find('=')),
                        hint = did_you_mean(name, names_of(*reached, true));
      throw UsageError(fmt::format("unknown option {}{}", name, hint.empty() ? way_out : hint));
    }
    const std::vector<std::string> subcommands = names_of(*reached, false);
    if (subcommands.empty())
      throw UsageError(fmt::format("unexpected argument {}{}", extra, way_out));
    const std::string hint = did_you_mean(extra, subcommands);
    throw UsageError(fmt::format(
        "unknown subcommand {}{}", extra,
        hint.empty() ? fmt::format("; {} has {}", way, fmt::join(subcommands, ", ")) : hint));
  }
  std::string what = error.what();
  std::replace(what.begin(), what.end(), '\n', ' ');
  while (what.ends_with('.')) what.pop_back();
  throw UsageError(what + way_out);
}

/// Options of unsigned type take no sign: the library would read -1 as 2^64 - 1.
void refuse_signs(CLI::App& app) {
  const auto check = [](const std::string& text) {
    return text.starts_with("-") ? fmt::format("{} is not an integer of at least 0", text)
                                 : std::string();
  };
  for (CLI::Option* option : app.get_options())
    if (option->get_type_name().starts_with("UINT")) option->check(CLI::Validator(check, ""));
  for (CLI::App* command : app.get_subcommands(nullptr)) refuse_signs(*command);
}

/// The number that the whole text is; absent where it is none.
template <class Number>
std::optional<Number> number_in(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

int fail(ExitCode code, std::string_view message) {
  write_message(fmt::format("deadray: {}", message));
  return static_cast<int>(code);
}

}  // namespace

void add_output_options(CLI::App& command, OutputOptions& options) {
  command
      .add_option(
          "--json", options.json,
          "Write the record to this file; '-' is standard output (the table then stays away)")
      ->type_name("FILE");
  command.add_flag("-q,--quiet", options.quiet, "No table and no notes");
  command.add_flag("--no-color", options.no_color, "No colour (NO_COLOR and TERM=dumb say so too)");
}

CLI::Validator number_below(double limit) {
  const auto check = [limit](std::string& text) {
    const auto x = number_in<double>(text);
    if (x && *x >= 0 && *x < limit) return std::string();
    return fmt::format("{} is not a number with 0 <= x{}", text,
                       std::isinf(limit) ? "" : fmt::format(" < {}", limit));
  };
  return CLI::Validator(check, "");
}

CLI::Validator positive_integer() {
  const auto check = [](std::string& text) {
    if (number_in<std::int64_t>(text).value_or(0) > 0) return std::string();
    return fmt::format("{} is not an integer from 1 to {}", text,
                       std::numeric_limits<std::int64_t>::max());
  };
  return CLI::Validator(check, "");
}

void add_model_options(CLI::App& command, double& relative_tau, CheckpointOptions& checkpoint) {
  command
      .add_option("--tau", relative_tau,
                  "Scales up to this share of max|gamma| count as dead (default 2^-26.5)")
      ->check(number_below(1))
      ->type_name("X");
  command
      .add_option("--max-header", checkpoint.max_header_bytes,
                  "Longest header of a file to accept, in bytes")
      ->check(positive_integer())
      ->type_name("N");
  command.add_flag("--strict", checkpoint.strict,
                   "Take what would be a note about the files as an error");
}

JsonOutput::JsonOutput(std::string path) : path_(std::move(path)) {
  if (!path_.empty() && path_ != "-") check_writable(path_);
}

void JsonOutput::write(const nlohmann::ordered_json& record) const {
  if (path_.empty()) return;
  const std::string text =
      record.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  if (path_ == "-")
    write_output(text);
  else
    write_file_atomically(path_, text);
}

bool parse_command_line(CLI::App& app, int argc, const char* const* argv) {
  refuse_signs(app);
  try {
    app.parse(argc, argv);
    return true;
  } catch (const CLI::CallForHelp&) {
    write_output(app.help());  // of the subcommand that was reached
  } catch (const CLI::CallForVersion& call) {
    write_output(fmt::format("{}\n", call.what()));
  } catch (const CLI::ParseError& error) {
    throw_usage_error(app, error);
  }
  return false;
}

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
    return fail(ExitCode::internal,
                fmt::format("internal error: {}; this is a defect of deadray {}, please report it",
                            error.what(), version()));
  } catch (...) {
    return fail(
        ExitCode::internal,
        fmt::format(
            "internal error of an unknown kind; this is a defect of deadray {}, please report it",
            version()));
  }
}

}  // namespace deadray
