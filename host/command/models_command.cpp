#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "deadray_records.h"
#include "host/architecture/architecture.h"
#include "host/base/output.h"
#include "host/command/commands.h"
#include "host/command/table.h"
#include "host/prediction/dead_directions.h"

namespace deadray {
namespace {

using Json = nlohmann::ordered_json;

int fixtures_of(std::string_view family) {
  for (const FixtureCount& fixtures : kFixtureCounts)
    if (fixtures.family == family) return fixtures.count;
  return 0;
}

bool is_in_roster(std::string_view name) {
  return std::any_of(kRosterModels.begin(), kRosterModels.end(),
                     [&](const RosterModel& model) { return model.name == name; });
}

/// The models of a family with a record of this initialisation. Drawn at random only those of the
/// roster count: they have a full size.
std::vector<std::string> recorded(std::string_view family, std::string_view init) {
  std::vector<std::string> names;
  for (const ModelRecord& record : kModelRecords)
    if (record.family == family && record.init == init &&
        (init == "checkpoint" || is_in_roster(record.name)))
      names.push_back(record.name);
  return names;
}

/// "confirmed", …; "" when there is no record.
std::string_view verdict_of(std::string_view model, std::string_view init) {
  for (const ModelRecord& record : kModelRecords)
    if (record.name == model && record.init == init) return record.verdict;
  return "";
}

/// Of parameters, from the configuration alone.
Json dead_directions_of(const RosterModel& model) {
  if (find_family(model.family) == nullptr) return nullptr;
  return count_dead_directions(describe_architecture(Config::parse(model.config, model.name)));
}

Json models_record() {
  const auto or_null = [](std::string_view text) { return text.empty() ? Json() : Json(text); };
  Json record{{"schema", "deadray/models/1"},
              {"families", Json::array()},
              {"roster", {{"note", kRosterNote}, {"models", Json::array()}}}};
  for (const Family& family : families())
    record["families"].push_back({{"model_type", family.model_type},
                                  {"description", family.description},
                                  {"fixtures", fixtures_of(family.model_type)},
                                  {"random_at_full_scale", recorded(family.model_type, "random")},
                                  {"trained", recorded(family.model_type, "checkpoint")}});
  for (const RosterModel& model : kRosterModels) {
    const Json dead = dead_directions_of(model);
    record["roster"]["models"].push_back(
        {{"name", model.name},
         {"family", model.family},
         {"known", find_family(model.family) != nullptr},
         {"hf_id", model.hf_id},
         {"norm", model.norm},
         {"parameters", model.parameters},
         {"dead_directions", dead},
         {"llc_lowering", dead.is_null() ? Json() : Json(dead.get<double>() / 2)},
         {"random", or_null(verdict_of(model.name, "random"))},
         {"checkpoint", or_null(verdict_of(model.name, "checkpoint"))}});
  }
  return record;
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
    const int fixtures = family.at("fixtures");
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
               {"random"},
               {"trained weights"}});
  for (const Json& model : roster.at("models"))
    table.add_row(
        {model.at("name"),
         model.at("family").get<std::string>() + (model.at("known") ? "" : " (not supported yet)"),
         fmt::format("{:.2f} B", model.at("parameters").get<double>() / 1e9), model.at("norm"),
         count(model.at("dead_directions")), verdict(model.at("random")),
         verdict(model.at("checkpoint"))});
  return table.render(coloured);
}

}  // namespace

void add_models_command(CLI::App& app, Command& chosen) {
  CLI::App* command = app.add_subcommand(
      "models",
      "List the families that deadray knows, the roster, and what has been verified of each");
  const auto options = std::make_shared<OutputOptions>();
  add_output_options(*command, *options);
  command->callback([options, &chosen] {
    chosen = [options] {
      const JsonOutput json(options->json);
      const Json record = models_record();
      json.write(record);
      if (!options->table_wanted()) return 0;
      const bool coloured = colour_allowed(STDOUT_FILENO, options->no_color);
      write_output(families_table(record, coloured) +
                   "\nfixtures: small models compared with transformers block by block. The "
                   "others: models with a record in results/.\n\n" +
                   roster_table(record.at("roster"), coloured) +
                   "\ndead parameter directions: of all consumers of all norms, from the "
                   "configuration alone; they lower the local learning "
                   "coefficient by half their number.\n" +
                   kRosterNote + "\n");
      return 0;
    };
  });
}

}  // namespace deadray
