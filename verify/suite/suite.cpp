#include "verify/suite/suite.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>

#include "host/architecture/catalogue.h"
#include "host/architecture/fit/fit_to_checkpoint.h"
#include "host/architecture/model_config.h"
#include "host/architecture/select_sites.h"
#include "host/base/error.h"
#include "host/base/input_file.h"
#include "host/command/table.h"
#include "host/formats/hub_cache.h"
#include "kernels/arithmetic/fnv1a.h"
#include "verify/base/dtypes.h"
#include "verify/module/device_module.h"
#include "verify/suite/row_figures.h"

namespace deadray {
namespace {

constexpr int kMaxDepth = 100;  // of a record; a norm's figures are six levels down

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

/// Tells an edited text from the one before, no more.
std::string fingerprint(std::string_view text) {
  return fmt::format("{:016x}", kernels::fnv1a(text));
}

/// Name, size and time of a file: enough to see that it is another one.
std::string identity(const fs::path& file) {
  std::error_code ignored;
  return fmt::format("{} {} {}", file.filename().string(), fs::file_size(file, ignored),
                     fs::last_write_time(file, ignored).time_since_epoch().count());
}

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

Architecture architecture_of(const RowSource& source) {
  return describe_architecture(Config::parse(source.config, source.config_name));
}

/// The names of the norms that a row measures.
std::set<std::string> expected_sites(const SuiteOptions& options, const RowSource& source) {
  Architecture architecture = architecture_of(source);
  std::vector<NormSite> sites;
  if (source.weights.empty()) {
    sites = norm_sites(architecture, nullptr);
  } else {
    Checkpoint checkpoint = open_weights(source.weights, options.checkpoint);
    sites = fit_to_checkpoint(architecture, checkpoint, options.checkpoint.strict);
  }
  std::set<std::string> names;
  for (const NormSite& site : select_sites(sites, options.site)) names.insert(site.name);
  return names;
}

/// The first key under which two sets of inputs differ, whatever their order; empty: none.
std::string difference(const nlohmann::json& was, const nlohmann::json& is) {
  for (const auto& [key, value] : is.items())
    if (!was.is_object() || !was.contains(key) || was.at(key) != value) return key;
  return was.size() == is.size() ? "" : "set of inputs";
}

/// Why a record does not stand for this row; empty: it does.
/// @throws Json::exception for a record that lacks keys
std::string flaw_in(const Json& record, const SuiteOptions& options, const Row& row,
                    const RowSource& source) {
  if (record.at("schema") != "deadray/verify/1") return "of another kind";
  if (record.at("model").at("name") != row.entry.name ||
      record.at("model").at("init") != to_string(row.init))
    return "of another model";
  Json made_with = record.at("suite").at("inputs");
  // Records from before there were these keys are all of the CPU, and of all tokens.
  if (made_with.is_object()) {
    made_with.emplace("device", "cpu");
    made_with.emplace("skip_tokens", 0);
  }
  if (const std::string key = difference(made_with, row_inputs(options, row, source)); !key.empty())
    return fmt::format("made with another {}", key);
  std::set<std::string> sites;
  for (const Json& site : record.at("sites")) {
    if (!verdict_from_name(site.at("verdict").get<std::string>())) return "has an unknown verdict";
    site.at("exact").at("eigenvalues");
    sites.insert(site.at("name"));
  }
  if (sites != expected_sites(options, source)) return "lacks norms";
  if (!options.no_residual) record.at("residual").at("uncentred");
  row_figures(record);
  for (const char* key : {"peak_memory_bytes", "seconds"}) record.at("suite").at(key).get<double>();
  return {};
}

}  // namespace

std::vector<Row> rows_of(const Roster& roster, const SuiteOptions& options) {
  std::vector<Row> rows;
  for (const RosterEntry& entry : select_models(roster, options.only))
    for (const Source init : options.init) rows.push_back({entry, init});
  return rows;
}

fs::path record_file(const SuiteOptions& options, const Row& row) {
  return options.out / (row.name() + ".json");
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

nlohmann::ordered_json row_inputs(const SuiteOptions& options, const Row& row,
                                  const RowSource& source) {
  Json weights = nullptr;
  if (!source.commit.empty()) {
    weights = source.commit;
  } else if (!source.weights.empty()) {
    weights = Json::array();
    const Checkpoint checkpoint = Checkpoint::open(source.weights, options.checkpoint);
    for (const fs::path& file : checkpoint.files()) weights.push_back(identity(file));
  }
  const fs::path tokens = calibration_file(options, row.entry);
  return {{"config", fingerprint(source.config)},
          {"weights", weights},
          {"calibration", tokens.empty() ? Json(nullptr) : Json(identity(tokens))},
          {"random_tokens", options.random_tokens},
          {"sequence_length",
           row.entry.sequence_length > 0 ? row.entry.sequence_length : options.sequence_length},
          {"skip_tokens", options.skip_tokens},
          {"seed", options.seed},
          {"device", cuda_index(options.device) ? "cuda" : "cpu"},  // no matter which of several
          {"dtype", long_name(options.dtype)},
          {"method", to_string(options.method)},
          {"site", options.site},
          {"tau", options.relative_tau},
          {"residual", !options.no_residual}};
}

RowRecord read_record(const SuiteOptions& options, const Row& row, const RowSource& source) {
  const fs::path file = record_file(options, row);
  std::error_code ignored;
  if (!fs::exists(file, ignored)) return {};
  bool too_deep = false;
  const auto notice_depth = [&](int depth, Json::parse_event_t, Json&) {
    too_deep = too_deep || depth > kMaxDepth;
    return !too_deep;  // what is not kept need not be copied or destroyed level by level
  };
  Json record = Json::parse(read_text_file(file), notice_depth, /*allow_exceptions=*/false);
  if (too_deep) return {{}, "nested too deep: damaged"};
  if (record.is_discarded()) return {{}, "not JSON: damaged"};
  std::string flaw;
  try {
    flaw = flaw_in(record, options, row, source);
  } catch (const Json::exception&) {
    flaw = "lacks keys: damaged";
  }
  if (!flaw.empty()) return {{}, flaw};
  return {std::move(record), {}};
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
