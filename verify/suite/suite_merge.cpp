#include "verify/suite/suite_merge.h"

#include <fmt/format.h>

#include <algorithm>
#include <regex>
#include <system_error>
#include <utility>

#include "host/base/in_quotes.h"
#include "host/base/input_file.h"
#include "verify/suite/row_record.h"

namespace deadray {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

/// One part's report.
struct Part {
  fs::path folder, file;
  Json shard;  ///< shard_json() but for the index: equal in all parts of one suite
  std::int64_t index, count;
  std::string roster;  ///< its fingerprint
  std::vector<std::string> only;
  std::vector<Source> init;
  Json rows;
};

[[noreturn]] void refuse_damaged(const fs::path& report) {
  throw MalformedError(
      fmt::format("{}: no whole report of a part: remove it, and run the part again with --resume",
                  report.string()));
}

Part read_part(const fs::path& folder, const fs::path& file) {
  const Json report = parse_left(read_text_file(file));
  try {
    const Json& shard = report.at("shard");
    Part part{folder,
              file,
              shard,
              shard.at("index"),
              shard.at("count"),
              shard.at("roster"),
              shard.at("only"),
              {},
              report.at("rows")};
    for (const Json& name : shard.at("init"))
      part.init.push_back(name == to_string(Source::random) ? Source::random : Source::checkpoint);
    part.shard.erase("index");
    if (report.at("schema") == "deadray/suite/1" && part.count > 0) return part;
  } catch (const Json::exception&) {
  }
  refuse_damaged(file);
}

/// "1-of-4.json"
bool is_report_name(const std::string& name) {
  static const std::regex report("[0-9]+-of-[0-9]+\\.json");
  return std::regex_match(name, report);
}

std::vector<Part> read_parts(const std::vector<fs::path>& folders) {
  std::vector<Part> parts;
  for (const fs::path& folder : folders) {
    std::vector<fs::path> files;
    std::error_code error;
    for (fs::directory_iterator entry(shards_folder(folder), error), end; !error && entry != end;
         entry.increment(error))
      if (is_report_name(entry->path().filename().string())) files.push_back(entry->path());
    if (files.empty())
      throw UsageError(
          fmt::format("--merge {}: no reports of parts in {}: give the folder that the "
                      "parts had as --out",
                      folder.string(), shards_folder(folder).string()));
    std::sort(files.begin(), files.end());
    for (const fs::path& file : files) parts.push_back(read_part(folder, file));
  }
  return parts;
}

void refuse_mixed(const std::vector<Part>& parts, const Roster& roster) {
  const Part& first = parts.front();
  for (const Part& part : parts) {
    if (part.roster != fingerprint(roster.text))
      throw UsageError(
          fmt::format("{}: a part of another roster than {}, or of this one before it was edited: "
                      "merge with its own, or run the parts again with --resume",
                      part.file.string(), roster.file.string()));
    if (const std::string key = difference(first.shard, part.shard); !key.empty())
      throw UsageError(
          fmt::format("{}: run with another {} than {}: remove the reports of the parts that no "
                      "longer count, or run them again with the same options",
                      part.file.string(), in_quotes(key), first.file.string()));
  }
}

/// A row's outcome in one part, and the text of its record.
struct Found {
  Outcome outcome;
  fs::path file;
  std::string text;
};

Found missing(std::string reason) {
  return {{Outcome::State::not_run, ExitCode::undetermined, std::move(reason), {}}, {}, {}};
}

/// The record that the part's report speaks of; nothing where it is not there any more.
std::optional<Found> read_reported(const Part& part, const Row& row, const Json& summary,
                                   Outcome::State state) try {
  const fs::path file = part.folder / (row.name() + ".json");
  std::string text = read_text_file(file);
  Outcome outcome = outcome_with(state, parse_left(text));
  if (row_summary(row, outcome) != summary) return {};
  return Found{std::move(outcome), file, std::move(text)};
} catch (const Error&) {
  return {};
} catch (const Json::exception&) {
  return {};
}

/// Of a row that left no record.
Found without_record(const Part& part, const Json& entry, Outcome::State state) {
  constexpr std::size_t kLongest = 4000;
  const int code = entry.at("code");
  const std::string reason = entry.at("reason");
  const bool ran = state == Outcome::State::failed || state == Outcome::State::not_downloaded;
  if (!ran || code <= 0 || code > static_cast<int>(ExitCode::undetermined))
    refuse_damaged(part.file);
  return {{state, static_cast<ExitCode>(code), on_one_line(reason, kLongest), {}}, {}, {}};
}

/// What became of a row in the part that took it.
Found found_in(const Part& part, const Row& row) try {
  const auto at = std::find_if(part.rows.begin(), part.rows.end(), [&](const Json& entry) {
    return entry.at("model") == row.entry.name && entry.at("init") == to_string(row.init);
  });
  if (at == part.rows.end()) refuse_damaged(part.file);
  const auto state = state_from_name(at->at("state").get<std::string>());
  if (!state) refuse_damaged(part.file);
  const auto again = [&](std::string_view why) {
    return missing(
        fmt::format("part {}/{} {}: run it again with --resume", part.index, part.count, why));
  };
  if (*state == Outcome::State::stopped || *state == Outcome::State::not_run)
    return again("ended before it");
  if (!at->contains("record")) return without_record(part, *at, *state);
  std::optional<Found> found = read_reported(part, row, *at, *state);
  return found ? *std::move(found) : again("reports a record that is gone, or damaged");
} catch (const Json::exception&) {
  refuse_damaged(part.file);
}

/// Of the reports of the part that takes the row: its one record, else why there is none.
Found find_row(const std::vector<Part>& parts, const Row& row, const Shard& taker) {
  const auto rank = [](const Found& found) {
    return !found.file.empty() ? 2 : found.outcome.state != Outcome::State::not_run ? 1 : 0;
  };
  Found best = missing(fmt::format("part {} has left no report: run it", to_string(taker)));
  bool reported = false;
  for (const Part& part : parts) {
    if (part.index != taker.index) continue;
    Found found = found_in(part, row);
    if (rank(best) == 2 && rank(found) == 2 && found.text != best.text)
      throw MalformedError(
          fmt::format("{} and {} are different records of one row: remove the one "
                      "that does not count, and its part's report",
                      best.file.string(), found.file.string()));
    if (!std::exchange(reported, true) || rank(found) > rank(best)) best = std::move(found);
  }
  return best;
}

}  // namespace

MergedSuite merge_parts(const SuiteOptions& options, const Roster& roster) {
  const std::vector<Part> parts = read_parts(options.merge);
  refuse_mixed(parts, roster);
  SuiteOptions whole;
  whole.only = parts.front().only, whole.init = parts.front().init;
  MergedSuite merged;
  merged.rows = rows_of(roster, whole);
  const std::int64_t count = parts.front().count;
  for (std::int64_t i = 0; i < std::ssize(merged.rows); ++i) {
    Found found = find_row(parts, merged.rows[i], {i % count, count});
    merged.outcomes.push_back(std::move(found.outcome));
    merged.records.push_back(std::move(found.file));
  }
  return merged;
}

}  // namespace deadray
