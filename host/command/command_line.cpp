#include "host/command/command_line.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string>
#include <vector>

#include "host/base/error.h"
#include "host/base/near_names.h"
#include "host/base/output.h"

namespace deadray {
namespace {

enum class Named { options, subcommands };

/// Names that a user could have meant.
std::vector<std::string> names_of(const CLI::App& app, Named which) {
  std::vector<std::string> names;
  if (which == Named::options)
    for (const CLI::Option* option : app.get_options())
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  else
    for (const CLI::App* command : app.get_subcommands(nullptr))
      names.push_back(command->get_name());
  return names;
}

/// The subcommand that the command line reached, and the words that lead there.
struct Reached {
  const CLI::App* app;
  std::string words;  ///< "deadray bench timing"
};
Reached reached_from(const CLI::App& app) {
  Reached reached{&app, app.get_name()};
  while (!reached.app->get_subcommands().empty()) {
    reached.app = reached.app->get_subcommands().front();
    reached.words += " " + reached.app->get_name();
  }
  return reached;
}

/// Of a word that no option and no subcommand takes.
std::string explain_extra(const std::string& extra, const Reached& reached) {
  const std::string see_help = fmt::format("; see {} --help", reached.words);
  if (extra.starts_with("-")) {
    const std::string name = extra.substr(0, extra.find('='));
    const std::string hint = did_you_mean(name, names_of(*reached.app, Named::options));
    return fmt::format("unknown option {}{}", name, hint.empty() ? see_help : hint);
  }
  const std::vector<std::string> subcommands = names_of(*reached.app, Named::subcommands);
  if (subcommands.empty()) return fmt::format("unexpected argument {}{}", extra, see_help);
  std::string hint = did_you_mean(extra, subcommands);
  if (hint.empty()) hint = fmt::format("; {} has {}", reached.words, fmt::join(subcommands, ", "));
  return fmt::format("unknown subcommand {}{}", extra, hint);
}

[[noreturn]] void throw_usage_error(const CLI::App& app, const CLI::ParseError& error) {
  const Reached reached = reached_from(app);
  if (const auto extras = app.remaining(true); !extras.empty())
    throw UsageError(explain_extra(extras.front(), reached));
  std::string what = error.what();
  std::replace(what.begin(), what.end(), '\n', ' ');
  while (what.ends_with('.')) what.pop_back();
  throw UsageError(fmt::format("{}; see {} --help", what, reached.words));
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

}  // namespace

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

}  // namespace deadray
