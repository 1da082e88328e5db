#include <memory>
#include <nlohmann/json.hpp>

#include "host/base/atomic_file.h"
#include "host/base/error.h"
#include "host/command/choice_option.h"
#include "host/command/commands.h"
#include "host/command/common_options.h"
#include "host/command/deliver.h"
#include "host/command/json_output.h"
#include "host/command/prediction_report.h"
#include "host/command/program_folder.h"
#include "host/prediction/model_prediction.h"

namespace deadray {
namespace {

struct Options {
  PredictRequest request;
  OutputOptions output;
  std::string model, directions;
};

int run_predict(Options& options) {
  PredictRequest& request = options.request;
  const JsonOutput json(options.output.json);
  if (!options.directions.empty()) check_writable(options.directions);
  request.model = options.model;
  request.catalogue = norm_catalogue_file();
  const OpenedModel model = open_checkpoint_model(request);
  const Prediction prediction = predict_model(request, model);
  if (!options.directions.empty()) write_directions(options.directions, prediction);
  deliver(
      to_json(prediction), [&](bool coloured) { return to_text(prediction, coloured); },
      prediction.notes, json, options.output);
  return static_cast<int>(ExitCode::done);
}

}  // namespace

void add_predict_command(CLI::App& app, Command& chosen) {
  CLI::App* command = app.add_subcommand(
      "predict", "Predict dead directions from the norms' scales alone: no forward pass, no GPU");
  const auto options = std::make_shared<Options>();
  PredictRequest& request = options->request;
  command
      ->add_option("model", options->model,
                   "Folder with config.json and *.safetensors, or one such file")
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
