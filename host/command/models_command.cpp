#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "host/architecture/architecture.h"
#include "host/architecture/catalogued/type_catalogue.h"
#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/base/output.h"
#include "host/base/table/table.h"
#include "host/census/census.h"
#include "host/command/commands.h"
#include "host/command/common_options.h"
#include "host/command/json_output.h"
#include "host/command/models/known_models.h"
#include "host/command/program_folder.h"
#include "host/prediction/dead_directions.h"

namespace deadray {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

struct ModelsOptions {
  OutputOptions output;
  bool all = false;
};

/// The models of a family with a record of this initialisation. Drawn at random only those of the
/// roster count: they have a full size.
std::vector<std::string> recorded(const KnownModels& known, std::string_view family,
                                  std::string_view init) {
  const auto is_in_roster = [&](std::string_view name) {
    return std::any_of(known.roster.begin(), known.roster.end(),
                       [&](const RosterModel& model) { return model.name == name; });
  };
  std::vector<std::string> names;
  for (const ModelRecord& record : known.records)
    if (record.family == family && record.init == init &&
        (init == "checkpoint" || is_in_roster(record.name)))
      names.push_back(record.name);
  return names;
}

/// "confirmed", …; null when there is no record.
Json verdict_of(const KnownModels& known, std::string_view model, std::string_view init) {
  for (const ModelRecord& record : known.records)
    if (record.name == model && record.init == init) return record.verdict;
  return nullptr;
}

/// What follows of a model's parameters from its configuration alone; null without a family.
struct Counted {
  Json dead_directions, flat, llc_bound;
};
Counted count_of(const RosterModel& model) {
  if (find_family(model.family) == nullptr) return {};
  const Architecture architecture = describe_architecture(Config::parse(model.config, model.name));
  const Census census = census_of(architecture, std::nullopt);
  return {count_dead_directions(architecture), census.flat, census.llc_bound()};
}

/// @param known  null: not known of any family
Json families_json(const KnownModels* known) {
  Json all = Json::array();
  for (const Family& family : families()) {
    const auto fixtures = [&] {
      const auto found = known->fixtures.find(std::string(family.model_type));
      return found == known->fixtures.end() ? 0 : found->second;
    };
    all.push_back(
        {{"model_type", family.model_type},
         {"description", family.description},
         {"fixtures", known ? Json(fixtures()) : Json()},
         {"random_at_full_scale",
          known ? Json(recorded(*known, family.model_type, "random")) : Json()},
         {"trained", known ? Json(recorded(*known, family.model_type, "checkpoint")) : Json()}});
  }
  return all;
}

Json roster_json(const KnownModels& known) {
  Json models = Json::array();
  for (const RosterModel& model : known.roster) {
    const auto [dead, flat, llc_bound] = count_of(model);
    models.push_back({{"name", model.name},
                      {"family", model.family},
                      {"known", find_family(model.family) != nullptr},
                      {"hf_id", model.hf_id},
                      {"norm", model.norm},
                      {"parameters", model.parameters},
                      {"dead_directions", dead},
                      {"llc_lowering", dead.is_null() ? Json() : Json(dead.get<double>() / 2)},
                      {"flat", flat},
                      {"llc_bound", llc_bound},
                      {"random", verdict_of(known, model.name, "random")},
                      {"checkpoint", verdict_of(known, model.name, "checkpoint")}});
  }
  return {{"note", known.note}, {"models", models}};
}

/// Every model type: a family, the catalogue's, or why none of the two.
Json types_json(const std::vector<CataloguedType>& catalogued) {
  Json all = Json::array();
  for (const CataloguedType& type : catalogued) {
    std::map<std::string, int> places{{"layernorm", 0}, {"rmsnorm", 0}, {"other", 0}};
    for (const CataloguedNorm& norm : type.norms)
      ++places[norm.not_predicted.empty() ? std::string(to_string(norm.kind)) : "other"];
    Json parts = Json::object();
    for (const CataloguedPart& part : type.parts) parts[part.config] = part.model_type;
    const bool is_family = find_family(type.model_type) != nullptr;
    all.push_back({{"model_type", type.model_type},
                   {"known_by", is_family             ? Json("family")
                                : type.failed.empty() ? Json("catalogue")
                                                      : Json()},
                   {"places", places},
                   {"parts", parts},
                   {"why_not", type.failed.empty() ? Json() : Json(type.failed)}});
  }
  return all;
}

std::string types_table(const Json& types, bool coloured) {
  Table table({{"model_type"},
               {"known by"},
               {"LayerNorm", Align::right},
               {"RMSNorm", Align::right},
               {"other", Align::right},
               {"and the norms of, or why not"}});
  const auto count = [](const Json& places, const char* kind) {
    const int places_of_kind = places.at(kind);
    return places_of_kind > 0 ? std::to_string(places_of_kind) : "–";
  };
  for (const Json& type : types) {
    std::vector<std::string> more;
    if (!type.at("why_not").is_null())
      more.push_back(on_one_line(type.at("why_not").get<std::string>(), 80));
    for (const auto& [key, inner] : type.at("parts").items())
      more.push_back(fmt::format("{} ({})", inner.get<std::string>(), key));
    const Json& places = type.at("places");
    table.add_row({type.at("model_type"), type.at("known_by").is_null() ? "–" : type.at("known_by"),
                   count(places, "layernorm"), count(places, "rmsnorm"), count(places, "other"),
                   fmt::format("{}", fmt::join(more, ", "))});
  }
  return table.render(coloured) +
         "\nLayerNorm, RMSNorm, other: places in the modules of the type, each of which may be in "
         "every block.\n";
}

std::string families_table(const Json& record, bool coloured) {
  const auto names = [](const Json& list) {
    return list.empty() ? "–"
                        : fmt::format("{}", fmt::join(list.get<std::vector<std::string>>(), ", "));
  };
  Table table({{"model_type"},
               {"fixtures", Align::right},
               {"random at full scale"},
               {"trained weights"},
               {"description"}});
  for (const Json& family : record.at("families")) {
    const int fixtures = family.at("fixtures").is_null() ? 0 : family.at("fixtures").get<int>();
    table.add_row({family.at("model_type"), fixtures > 0 ? std::to_string(fixtures) : "–",
                   names(family.at("random_at_full_scale")), names(family.at("trained")),
                   family.at("description")});
  }
  return table.render(coloured);
}

std::string roster_table(const Json& roster, bool coloured) {
  const auto count = [](const Json& value) {
    return value.is_null() ? std::string("–") : value.dump();
  };
  const auto verdict = [](const Json& value) {
    return value.is_null() ? std::string("not run") : value.get<std::string>();
  };
  Table table({{"model"},
               {"model_type"},
               {"parameters", Align::right},
               {"norm"},
               {"dead parameter directions", Align::right},
               {"flat", Align::right},
               {"random"},
               {"trained weights"}});
  for (const Json& model : roster.at("models"))
    table.add_row(
        {model.at("name"),
         model.at("family").get<std::string>() + (model.at("known") ? "" : " (not supported yet)"),
         fmt::format("{:.2f} B", model.at("parameters").get<double>() / 1e9), model.at("norm"),
         count(model.at("dead_directions")), count(model.at("flat")), verdict(model.at("random")),
         verdict(model.at("checkpoint"))});
  return table.render(coloured);
}

std::string models_text(const Json& record, bool coloured) {
  if (const auto types = record.find("types"); types != record.end())
    return types_table(*types, coloured);
  std::string text = families_table(record, coloured);
  const Json& roster = record.at("roster");
  if (roster.is_null()) return text;
  return text +
         "\nfixtures: small models compared with transformers block by block. The others: models "
         "with a record in results/.\n\n" +
         roster_table(roster, coloured) +
         "\ndead parameter directions: of all consumers of all norms, from the configuration "
         "alone; "
         "they lower the local learning coefficient by half their number. flat: directions of all "
         "causes (deadray census).\n" +
         roster.at("note").get<std::string>() + "\n";
}

int run_models(const ModelsOptions& wanted) {
  const OutputOptions& options = wanted.output;
  const fs::path file = share_folder().value_or(fs::path()) / "models.json";
  const JsonOutput json(options.json, {{}, {file, norm_catalogue_file()}});
  std::optional<KnownModels> known;
  if (std::error_code ignored; fs::exists(file, ignored)) known = read_known_models(file);
  Json record{{"schema", "deadray/models/1"},
              {"families", families_json(known ? &*known : nullptr)},
              {"roster", known ? roster_json(*known) : Json()}};
  if (wanted.all) {
    const TypeCatalogue catalogue(norm_catalogue_file());
    if (catalogue.empty())
      throw ResourceError(
          fmt::format("{}: no such file; it lists the model types: build or install deadray again",
                      norm_catalogue_file().string()));
    record["types"] = types_json(catalogue.all());
  }
  json.write(record);
  if (options.table_wanted())
    write_output(models_text(record, colour_allowed(STDOUT_FILENO, options.no_color)));
  if (!known && !options.quiet)
    write_message(
        fmt::format("note: {}: no such file; it tells the roster and what has been "
                    "verified: build or install deadray again",
                    file.string()));
  return static_cast<int>(ExitCode::done);
}

}  // namespace

void add_models_command(CLI::App& app, Command& chosen) {
  CLI::App* command = app.add_subcommand(
      "models",
      "List the families that deadray knows, the roster, and what has been verified of each");
  const auto options = std::make_shared<ModelsOptions>();
  command->add_flag("--all", options->all,
                    "List every model type of transformers instead, and how its norms are known");
  add_output_options(*command, options->output);
  command->callback([options, &chosen] { chosen = [options] { return run_models(*options); }; });
}

}  // namespace deadray
