#include "verify/directional/invariance.h"

#include <cmath>
#include <limits>

#include "host/base/stop_signals.h"
#include "verify/directional/consumers.h"
#include "verify/directional/logit_fisher.h"
#include "verify/directional/watched_weights.h"

namespace deadray {

Invariance::Invariance(const FisherPass& pass)
    : pass_(pass), still_(output_of(*pass.model.weights)) {}

double Invariance::movement(const ParameterDirection& direction) {
  const Model& model = pass_.model;
  const auto weight_of = [&](const std::string& consumer) {
    return load_consumer(model, consumer);
  };
  const double size = weight_of(direction.consumer).norm().item<double>();
  double worst = 0;
  for (const double step : {1.0, 10.0, 100.0}) {
    throw_if_stopped();
    const MovedWeights moved(*model.weights, direction, step * size, weight_of);
    const double movement = output_movement(*pass_.ranks, model.architecture, *model.weights,
                                            still_, moved, output_of(moved));
    worst =
        std::isnan(movement) ? std::numeric_limits<double>::infinity() : std::max(worst, movement);
  }
  return worst;
}

at::Tensor Invariance::output_of(const Weights& weights) {
  OutputKeeper keeper;
  Executor executor = pass_.executor(weights);
  executor.run(pass_.calibration, keeper, pass_.start());
  notes_.insert(notes_.end(), executor.notes().begin(), executor.notes().end());
  return keeper.output().value;
}

}  // namespace deadray
