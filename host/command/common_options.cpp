#include "host/command/common_options.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>

namespace deadray {
namespace {

/// The number that the whole text is; absent where it is none.
template <class Number>
std::optional<Number> number_in(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
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
  add_checkpoint_options(command, checkpoint);
}

void add_checkpoint_options(CLI::App& command, CheckpointOptions& checkpoint) {
  command
      .add_option("--max-header", checkpoint.max_header_bytes,
                  "Longest header of a file to accept, in bytes")
      ->check(positive_integer())
      ->type_name("N");
  command.add_flag("--strict", checkpoint.strict,
                   "Take what would be a note about the files as an error");
}

}  // namespace deadray
