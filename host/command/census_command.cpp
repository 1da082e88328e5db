#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "host/base/error.h"
#include "host/census/census_json.h"
#include "host/census/census_model.h"
#include "host/census/report/census_report.h"
#include "host/command/commands.h"
#include "host/command/common_options.h"
#include "host/command/deliver.h"
#include "host/command/inputs.h"
#include "host/command/json_output.h"
#include "host/command/models/named_models.h"

namespace deadray {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string model;
  CheckpointOptions checkpoint;
  OutputOptions output;
};

int run_census(const Options& options) {
  const ResolvedModels found =
      find_models({options.model}, HubPurpose::census, "census", false, options.output.quiet);
  const fs::path& path = found.models.front().path;
  const JsonOutput json(options.output.json, {{path}, {}});
  ModelCensus model = census_of_model(path, options.checkpoint);
  add_origin(model.hub, found, 0);
  deliver([&] { return to_json(model); }, [&](bool coloured) { return to_text(model, coloured); },
          model.census.notes, json, options.output);
  return static_cast<int>(ExitCode::done);
}

}  // namespace

void add_census_command(CLI::App& app, Command& chosen) {
  CLI::App* command = app.add_subcommand(
      "census", "Count the directions of a model's parameters that change no output, by cause");
  const auto options = std::make_shared<Options>();
  command
      ->add_option("model", options->model,
                   "Folder with config.json, with weights or without; a config.json; a file of "
                   "weights; org/name[@revision] of the hub; or the URL of a file")
      ->required()
      ->type_name("MODEL");
  add_checkpoint_options(*command, options->checkpoint);
  add_output_options(*command, options->output);
  command->callback([options, &chosen] { chosen = [options] { return run_census(*options); }; });
}

}  // namespace deadray
