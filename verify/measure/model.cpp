#include "verify/measure/model.h"

#include <utility>

#include "host/architecture/catalogue.h"
#include "host/architecture/fit_to_checkpoint.h"
#include "host/formats/folder/model_folder.h"
#include "verify/weights/checkpoint_weights.h"
#include "verify/weights/random_weights.h"

namespace deadray {

std::string_view to_string(Source source) noexcept {
  switch (source) {
    case Source::checkpoint:
      return "checkpoint";
    case Source::random:
      return "random";
    case Source::activations:
      return "activations";
  }
  return "?";
}

std::unique_ptr<Model> prepare_model(const std::filesystem::path& path,
                                     const ModelOptions& options) {
  // An adapter or an empty folder is told before a config.json is missed.
  if (!options.random) find_weights(path, options.checkpoint.strict);
  return prepare_model(model_name(path), Config::load(path), path, options);
}

std::unique_ptr<Model> prepare_model(std::string name, const Config& config,
                                     const std::filesystem::path& weights,
                                     const ModelOptions& options) {
  auto model = std::make_unique<Model>();
  model->name = std::move(name);
  if (!weights.empty()) model->hub = hub_snapshot(weights);
  model->architecture = describe_architecture(config);
  model->seed = options.seed;
  if (options.random) {
    model->source = Source::random;
    model->weights =
        std::make_unique<RandomWeights>(model->architecture, options.seed, *options.backend);
    model->sites = norm_sites(model->architecture, nullptr);
  } else {
    model->checkpoint.emplace(Checkpoint::open(weights, options.checkpoint));
    model->sites =
        fit_to_checkpoint(model->architecture, *model->checkpoint, options.checkpoint.strict);
    model->weights = std::make_unique<CheckpointWeights>(model->architecture, *model->checkpoint,
                                                         *options.backend);
  }
  require_runnable(model->architecture);
  return model;
}

}  // namespace deadray
