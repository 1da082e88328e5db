#include "verify/measure/model.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "host/architecture/catalogue.h"
#include "host/architecture/fit/fit_to_checkpoint.h"
#include "host/architecture/model_config.h"
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

namespace {

std::unique_ptr<Model> drawn_model(const Config& config, const ModelOptions& options) {
  auto model = std::make_unique<Model>();
  model->architecture = describe_architecture(config);
  model->configuration = config.json().dump();
  model->seed = options.seed;
  model->source = Source::random;
  model->weights =
      std::make_unique<RandomWeights>(model->architecture, options.seed, *options.backend);
  model->sites = norm_sites(model->architecture, nullptr);
  return model;
}

/// @param checkpoint  under the family's names
std::unique_ptr<Model> stored_model(const Config& config, Checkpoint checkpoint,
                                    const ModelOptions& options) {
  auto model = std::make_unique<Model>();
  model->architecture = describe_architecture(config);
  model->configuration = config.json().dump();
  model->seed = options.seed;
  model->checkpoint.emplace(std::move(checkpoint));
  model->sites =
      fit_to_checkpoint(model->architecture, *model->checkpoint, options.checkpoint.strict);
  model->weights = std::make_unique<CheckpointWeights>(model->architecture, *model->checkpoint,
                                                       *options.backend);
  return model;
}

std::unique_ptr<Model> named(std::unique_ptr<Model> model, std::string name,
                             const std::filesystem::path& weights) {
  require_runnable(model->architecture);
  model->name = std::move(name);
  if (!weights.empty()) model->hub = hub_snapshot(weights);
  return model;
}

}  // namespace

std::unique_ptr<Model> prepare_model(const std::filesystem::path& path,
                                     const ModelOptions& options) {
  if (options.random)
    return named(drawn_model(model_config(path, options.checkpoint), options), model_name(path),
                 path);
  Checkpoint checkpoint = Checkpoint::open(path, options.checkpoint);
  const Config config = model_config(checkpoint);
  return named(stored_model(config, std::move(checkpoint), options), model_name(path), path);
}

std::unique_ptr<Model> prepare_model(std::string name, const Config& config,
                                     const std::filesystem::path& weights,
                                     const ModelOptions& options) {
  if (options.random) return named(drawn_model(config, options), std::move(name), weights);
  return named(stored_model(config, open_weights(weights, options.checkpoint), options),
               std::move(name), weights);
}

}  // namespace deadray
