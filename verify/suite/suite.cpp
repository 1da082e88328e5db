#include "verify/suite/suite.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "host/architecture/model_config.h"
#include "host/base/error.h"
#include "host/formats/hub_cache.h"
#include "verify/base/dtypes.h"

namespace deadray {
namespace {

namespace fs = std::filesystem;

/// The folder of a checkpoint's weights, or why there is none.
RowSource locate_weights(const RosterEntry& entry) {
  RowSource source;
  std::error_code ignored;
  const std::string gate = entry.gated.empty() ? "" : fmt::format(" ({})", entry.gated);
  if (!entry.path.empty()) {
    source.weights = entry.path;
    if (!fs::exists(entry.path, ignored) && !entry.hf_id.empty())
      source.missing = fmt::format("{} does not exist: {} --local-dir {}{}", entry.path.string(),
                                   download_command(entry.hf_id, entry.revision),
                                   command_line({entry.path.string()}), gate);
    return source;
  }
  if (entry.hf_id.empty()) {
    source.missing = "the roster gives neither hf_id nor path";
    return source;
  }
  const CachedModel cached = find_cached_model(hub_cache(), entry.hf_id, entry.revision);
  if (!cached.missing.empty())
    source.missing = fmt::format("{}: {}{}", cached.missing,
                                 download_command(entry.hf_id, entry.revision), gate);
  source.weights = cached.folder;
  source.commit = cached.commit;
  return source;
}

}  // namespace

std::vector<Row> rows_of(const Roster& roster, const SuiteOptions& options) {
  std::vector<Row> rows;
  std::int64_t number = 0;
  for (const RosterEntry& entry : select_models(roster, options.only))
    for (const Source init : options.init)
      if (!options.shard || options.shard->takes(number++)) rows.push_back({entry, init});
  return rows;
}

RowSource locate(const Row& row) {
  const RosterEntry& entry = row.entry;
  RowSource source;
  if (row.init == Source::checkpoint) source = locate_weights(entry);
  if (!source.missing.empty()) return source;
  // Trained weights come with their own configuration; the roster's is for drawing them.
  const fs::path folder = row.init == Source::checkpoint ? source.weights : entry.path;
  if (row.init == Source::random && !entry.config.empty()) {
    source.config = entry.config;
    source.config_name = entry.config_name;
  } else {
    const Config config = model_config(folder, {});  // says what is missing
    source.config = config.json().dump();
    source.config_name = config.path().string();
  }
  return source;
}

fs::path calibration_file(const SuiteOptions& options, const RosterEntry& entry) {
  std::error_code ignored;
  const fs::path file = options.calibration / (entry.name + ".safetensors");
  return !options.calibration.empty() && fs::exists(file, ignored) ? file : entry.calibration;
}

Inputs inputs_of(const SuiteOptions& options, const std::vector<Row>& rows) {
  Inputs inputs{{}, {options.roster}};
  for (const Row& row : rows) {
    inputs.files.push_back(calibration_file(options, row.entry));
    inputs.models.push_back(row.entry.path);
    try {
      if (row.init == Source::checkpoint)
        inputs.models.push_back(locate_weights(row.entry).weights);
    } catch (const Error&) {  // its own row will say so
    }
  }
  return inputs;
}

std::vector<std::string> row_arguments(const SuiteOptions& options, const Row& row) {
  const SuiteOptions defaults;
  std::vector<std::string> words = {"deadray",
                                    "suite",
                                    options.roster.string(),
                                    "--init",
                                    std::string(to_string(row.init)),
                                    "--only",
                                    row.entry.name,
                                    "--out",
                                    options.out.string()};
  const auto add = [&](const char* name, const auto& value, const auto& usual) {
    if (value != usual) words.insert(words.end(), {name, fmt::format("{}", value)});
  };
  add("--site", options.site, defaults.site);
  add("--method", to_string(options.method), to_string(defaults.method));
  add("--dtype", long_name(options.dtype), long_name(defaults.dtype));
  add("--device", options.device, defaults.device);
  add("--seed", options.seed, defaults.seed);
  add("--random-tokens", options.random_tokens, defaults.random_tokens);
  add("--sequence-length", options.sequence_length, defaults.sequence_length);
  add("--skip-tokens", options.skip_tokens, defaults.skip_tokens);
  add("--calibration", options.calibration.string(), std::string());
  add("--threads", options.threads, defaults.threads);
  add("--tau", options.relative_tau, defaults.relative_tau);
  add("--max-header", options.checkpoint.max_header_bytes, defaults.checkpoint.max_header_bytes);
  if (options.checkpoint.strict) words.push_back("--strict");
  if (options.no_residual) words.push_back("--no-residual");
  return words;
}

std::string command_line(const std::vector<std::string>& words) {
  std::string line;
  for (const std::string& word : words) {
    const bool plain =
        !word.empty() &&
        word.find_first_not_of(
            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=:,./@%") ==
            std::string::npos;
    std::string quoted = "'";
    for (const char c : word) quoted += c == '\'' ? "'\\''" : std::string(1, c);
    line += (line.empty() ? "" : " ") + (plain ? word : quoted + "'");
  }
  return line;
}

}  // namespace deadray
