#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "host/prediction/compare_norms.h"
#include "host/prediction/model_prediction.h"
#include "host/prediction/model_series.h"

namespace deadray {

/// A norm that two models have, with the same kind and width. Arrays: of the first model, of the
/// other.
struct NormPair {
  std::size_t norm = 0;    ///< which of the first model's
  std::string name_there;  ///< in the other model
  NormChange change;
  std::array<std::int64_t, 2> dimensions{};   ///< predicted dead directions
  std::array<double, 2> gamma_min{};          ///< least |gamma|
  std::array<std::int64_t, 2> coordinates{};  ///< number of scales that are practically zero
};

/// A model beside the first.
struct ModelComparison {
  std::vector<NormPair> norms;            ///< in the first model's order
  std::vector<std::string> missing;       ///< norms of the first that it lacks
  std::vector<std::string> more;          ///< norms that the first lacks
  std::vector<std::string> not_compared;  ///< of the same name, with what differs
};

/// Compares the norms of `first` with those of the same name in `other`; leading components that
/// one of the two lacks ("bert.") do not matter where the rest is unique. Holds one norm of each
/// model at a time.
/// @throws Error as load_norm() and predict() do
ModelComparison compare_models(const OpenedModel& first, const OpenedModel& other,
                               const PredictOptions& options);

/// Several models in a row, each beside the first.
struct SeveralPredictions {
  ModelSeries series;
  std::vector<Prediction> predictions;  ///< one for each model, without `inverse`
  std::vector<ModelComparison> pairs;   ///< one for each model but the first
  std::vector<std::string> notes;       ///< on what was not compared
  std::optional<HubTraffic> traffic;    ///< for all of them; absent where nothing was fetched
};

/// Every model is opened before the first prediction, so that bad input is told at once; open at a
/// time are two.
/// @param request  what is asked of each; its `model` is not read
/// @param models   two or more
/// @param labels   one each, instead of what their paths tell; or none
/// @throws UsageError where no model has a norm in common with the first; Error of every kind that
/// the prediction of one model throws
SeveralPredictions predict_several(const PredictRequest& request,
                                   const std::vector<std::filesystem::path>& models,
                                   const std::vector<std::string>& labels = {});

}  // namespace deadray
