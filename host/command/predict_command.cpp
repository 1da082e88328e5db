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
  std::vector<std::string> models;
  std::string directions;

  Inputs inputs() const { return {{models.begin(), models.end()}, {request.catalogue}}; }
};

int run_several(const Options& options) {
  if (!options.directions.empty())
    throw UsageError(fmt::format("--directions: takes one model, not {}; predict each alone",
                                 options.models.size()));
  const JsonOutput json(options.output.json, options.inputs());
  const SeveralPredictions several =
      predict_several(options.request, {options.models.begin(), options.models.end()});
  deliver([&] { return to_json(several); },
          [&](bool coloured) { return to_text(several, coloured); }, notes_of(several), json,
          options.output);
  return static_cast<int>(ExitCode::done);
}

int run_predict(Options& options) {
  options.request.catalogue = norm_catalogue_file();
  if (options.models.size() > 1) return run_several(options);
  PredictRequest& request = options.request;
  const JsonOutput json(options.output.json, options.inputs());
  check_output(options.directions, options.inputs());
  request.model = options.models.front();
  request.keep_directions = !options.directions.empty();
  const OpenedModel model = open_checkpoint_model(request);
  const Prediction prediction = predict_model(request, model);
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
                   "Folder with config.json and weights, or a file of weights; of several each "
                   "is compared with the first, checkpoints of one run by their numbers")
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
  add_output_options(*command, options->output);
  command->callback([options, &chosen] { chosen = [options] { return run_predict(*options); }; });
}

}  // namespace deadray
