#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "host/base/error.h"
#include "host/command/choice_option.h"
#include "host/command/commands.h"
#include "host/command/common_options.h"
#include "host/command/comparison/comparison_report.h"
#include "host/command/deliver.h"
#include "host/command/inputs.h"
#include "host/command/json_output.h"
#include "host/command/models/named_models.h"
#include "host/command/prediction_report.h"
#include "host/command/program_folder.h"
#include "host/prediction/compare_models.h"
#include "host/prediction/model_prediction.h"
#include "host/prediction/prediction_json.h"

namespace deadray {
namespace {

struct Options {
  PredictRequest request;
  OutputOptions output;
  std::vector<std::string> models, revisions;
  std::string directions;
  bool download = false;
};

Inputs inputs_of(const Options& options, const ResolvedModels& found) {
  return {found.paths(), {options.request.catalogue}};
}

/// What --revisions makes several models of, and what these are called then.
std::vector<std::string> take_revisions(Options& options) {
  if (options.revisions.empty()) return {};
  if (options.models.size() != 1)
    throw UsageError(
        fmt::format("--revisions: takes one model, not {}; write org/name@revision for each",
                    options.models.size()));
  options.models =
      models_of_revisions(options.models.front(), options.revisions, options.output.quiet);
  std::vector<std::string> labels;
  for (const std::string& model : options.models)
    labels.push_back(model.substr(model.find('@') + 1));
  return labels;
}

int run_several(const Options& options, const ResolvedModels& found,
                const std::vector<std::string>& labels) {
  if (!options.directions.empty())
    throw UsageError(fmt::format("--directions: takes one model, not {}; predict each alone",
                                 options.models.size()));
  const JsonOutput json(options.output.json, inputs_of(options, found));
  SeveralPredictions several = predict_several(options.request, found.paths(), labels);
  for (std::size_t i = 0; i < several.predictions.size(); ++i)
    add_origin(several.predictions[i].hub, found, several.series.places[i]);
  several.traffic = found.traffic;
  deliver([&] { return to_json(several); },
          [&](bool coloured) { return to_text(several, coloured); }, notes_of(several), json,
          options.output);
  return static_cast<int>(ExitCode::done);
}

int run_predict(Options& options) {
  PredictRequest& request = options.request;
  request.catalogue = norm_catalogue_file();
  const std::vector<std::string> labels = take_revisions(options);
  const bool reads_weights = request.classify || options.download;
  const ResolvedModels found = find_models(
      options.models, reads_weights ? HubPurpose::weights : HubPurpose::predict,
      request.classify ? "predict --classify" : "predict", options.download, options.output.quiet);
  if (options.models.size() > 1) return run_several(options, found, labels);
  const JsonOutput json(options.output.json, inputs_of(options, found));
  check_output(options.directions, inputs_of(options, found));
  request.model = found.models.front().path;
  request.keep_directions = !options.directions.empty();
  const OpenedModel model = open_checkpoint_model(request);
  Prediction prediction = predict_model(request, model);
  add_origin(prediction.hub, found, 0);
  if (!options.directions.empty()) write_directions(options.directions, prediction);
  deliver([&] { return to_json(prediction); },
          [&](bool coloured) { return to_text(prediction, coloured); }, prediction.notes, json,
          options.output);
  return static_cast<int>(ExitCode::done);
}

}  // namespace

void add_predict_command(CLI::App& app, Command& chosen) {
  CLI::App* command = app.add_subcommand(
      "predict", "Predict dead directions from the norms' scales alone: no forward pass, no GPU");
  const auto options = std::make_shared<Options>();
  PredictRequest& request = options->request;
  command
      ->add_option("model", options->models,
                   "Folder with config.json and weights, a file of weights, org/name[@revision] of "
                   "the hub, or the URL of a file; of several each is compared with the first, "
                   "checkpoints of one run by their numbers")
      ->required()
      ->type_name("MODEL");
  command->add_option("--site", request.site, "final, all (the default), or the name of a norm")
      ->type_name("NAME");
  add_choice(
      *command, "--norm", request.norm,
      choices_of<StatedNorm>({StatedNorm::layernorm, StatedNorm::rmsnorm, StatedNorm::layernorm1p}),
      "Kind of the model's norms, instead of what its family says");
  command->add_flag("--classify", request.classify,
                    "Also ask the parameters which norm it is; reads the consumers' weights");
  add_model_options(*command, request.predict.relative_tau, request.checkpoint);
  command
      ->add_option(
          "--directions", options->directions,
          "Write the dead direction of each LayerNorm, a unit vector, to this .safetensors file")
      ->type_name("FILE");
  command
      ->add_option("--revisions", options->revisions,
                   "Of a model on the hub: compare these branches, tags or commits; step* names "
                   "all that begin so")
      ->delimiter(',')
      ->type_name("NAME,...");
  add_download_option(*command, options->download);
  add_output_options(*command, options->output);
  command->callback([options, &chosen] { chosen = [options] { return run_predict(*options); }; });
}

}  // namespace deadray
