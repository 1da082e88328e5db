#include "verify/suite/shard.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "host/base/error.h"
#include "host/base/in_quotes.h"

namespace deadray {
namespace {

/// The number that the whole text is, of digits alone.
std::optional<std::int64_t> number_in(std::string_view text) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (!std::all_of(text.begin(), text.end(), is_digit)) return {};
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return {};
  return number;
}

/// A number that Slurm gives each task of an array.
std::int64_t array_number(const char* name, std::optional<std::int64_t> otherwise = {}) {
  const char* text = std::getenv(name);
  if (text == nullptr && otherwise) return *otherwise;
  if (const auto number = text != nullptr ? number_in(text) : std::nullopt) return *number;
  throw UsageError(
      fmt::format("{} is {}, expected a number beside SLURM_ARRAY_TASK_ID: give "
                  "--shard I/N",
                  name, text != nullptr ? in_quotes(text) : "not set"));
}

}  // namespace

std::string to_string(const Shard& shard) { return fmt::format("{}/{}", shard.index, shard.count); }

Shard parse_shard(std::string_view text) {
  const std::size_t slash = std::min(text.find('/'), text.size());
  const auto index = number_in(text.substr(0, slash)),
             count = number_in(text.substr(std::min(slash + 1, text.size())));
  if (!index || !count || *count < 1)
    throw UsageError(
        fmt::format("--shard {}: expected I/N, part I of N, such as 0/4", in_quotes(text)));
  if (*index >= *count)
    throw UsageError(fmt::format("--shard {}: parts are counted from 0, here 0/{} to {}/{}", text,
                                 *count, *count - 1, *count));
  return {*index, *count};
}

std::optional<Shard> shard_of_slurm_array() {
  if (std::getenv("SLURM_ARRAY_TASK_ID") == nullptr) return {};
  const std::int64_t id = array_number("SLURM_ARRAY_TASK_ID"),
                     count = array_number("SLURM_ARRAY_TASK_COUNT"),
                     first = array_number("SLURM_ARRAY_TASK_MIN", 0),
                     step = std::max<std::int64_t>(array_number("SLURM_ARRAY_TASK_STEP", 1), 1);
  const bool gaps = std::getenv("SLURM_ARRAY_TASK_MAX") != nullptr &&
                    (array_number("SLURM_ARRAY_TASK_MAX") - first) / step + 1 != count;
  const Shard shard{(id - first) / step, count};
  if (gaps || id < first || (id - first) % step != 0 || shard.index >= count)
    throw UsageError(
        fmt::format("task {} of a Slurm array of {} from {} on: its indices are not evenly spaced, "
                    "so they do not say which part this is: give --shard I/N",
                    id, count, first));
  return shard;
}

}  // namespace deadray
