#include "verify/suite/row_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "host/architecture/catalogue.h"
#include "host/architecture/fit/fit_to_checkpoint.h"
#include "host/architecture/model_config.h"
#include "host/architecture/select_sites.h"
#include "host/base/input_file.h"
#include "kernels/arithmetic/fnv1a.h"
#include "verify/base/dtypes.h"
#include "verify/module/device_module.h"
#include "verify/suite/row_figures.h"

namespace deadray {
namespace {

constexpr int kMaxDepth = 100;  // of a record; a norm's figures are six levels down

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

/// Name, size and time of a file: enough to see that it is another one.
std::string identity(const fs::path& file) {
  std::error_code ignored;
  return fmt::format("{} {} {}", file.filename().string(), fs::file_size(file, ignored),
                     fs::last_write_time(file, ignored).time_since_epoch().count());
}

/// Of row_inputs(), what the options say of every row.
Json inputs_of_all_rows(const SuiteOptions& options) {
  return {{"random_tokens", options.random_tokens},
          {"sequence_length", options.sequence_length},
          {"skip_tokens", options.skip_tokens},
          {"seed", options.seed},
          {"device", cuda_index(options.device) ? "cuda" : "cpu"},  // no matter which of several
          {"dtype", long_name(options.dtype)},
          {"method", to_string(options.method)},
          {"site", options.site},
          {"tau", options.relative_tau},
          {"residual", !options.no_residual}};
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

std::string fingerprint(std::string_view text) {
  return fmt::format("{:016x}", kernels::fnv1a(text));
}

fs::path record_file(const SuiteOptions& options, const Row& row) {
  return options.out / (row.name() + ".json");
}

fs::path shards_folder(const fs::path& out) { return out / "shards"; }

fs::path report_file(const SuiteOptions& options) {
  if (!options.shard) return options.out / "suite.json";
  return shards_folder(options.out) /
         fmt::format("{}-of-{}.json", options.shard->index, options.shard->count);
}

std::string difference(const nlohmann::json& was, const nlohmann::json& is) {
  for (const auto& [key, value] : is.items())
    if (!was.is_object() || !was.contains(key) || was.at(key) != value) return key;
  return was.size() == is.size() ? "" : "set of inputs";
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
  Json inputs{{"config", fingerprint(source.config)},
              {"weights", weights},
              {"calibration", tokens.empty() ? Json(nullptr) : Json(identity(tokens))}};
  inputs.update(inputs_of_all_rows(options));
  if (row.entry.sequence_length > 0) inputs["sequence_length"] = row.entry.sequence_length;
  return inputs;
}

Json shard_json(const SuiteOptions& options, const Roster& roster) {
  Json init = Json::array();
  for (const Source source : options.init) init.push_back(to_string(source));
  Json shard{{"index", options.shard->index},
             {"count", options.shard->count},
             {"roster", fingerprint(roster.text)},
             {"init", init},
             {"only", std::set(options.only.begin(), options.only.end())}};
  shard.update(inputs_of_all_rows(options));
  return shard;
}

Json parse_left(std::string_view text) {
  bool too_deep = false;
  const auto notice_depth = [&](int depth, Json::parse_event_t, Json&) {
    too_deep = too_deep || depth > kMaxDepth;
    return !too_deep;
  };
  Json left = Json::parse(text, notice_depth, /*allow_exceptions=*/false);
  return too_deep ? Json(Json::value_t::discarded) : left;
}

RowRecord read_record(const SuiteOptions& options, const Row& row, const RowSource& source) {
  const fs::path file = record_file(options, row);
  std::error_code ignored;
  if (!fs::exists(file, ignored)) return {};
  Json record = parse_left(read_text_file(file));
  if (record.is_discarded()) return {{}, "not JSON, or nested too deep: damaged"};
  std::string flaw;
  try {
    flaw = flaw_in(record, options, row, source);
  } catch (const Json::exception&) {
    flaw = "lacks keys: damaged";
  }
  if (!flaw.empty()) return {{}, flaw};
  return {std::move(record), {}};
}

}  // namespace deadray
