#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/architecture/norm_site.h"
#include "host/formats/checkpoint.h"
#include "host/formats/hub_cache.h"
#include "host/prediction/predict_norms.h"
#include "host/prediction/predictor.h"

namespace deadray {

/// What a user may say of a model's norms. A layernorm1p is a LayerNorm that stores gamma - 1.
enum class StatedNorm { layernorm, rmsnorm, layernorm1p };
std::string_view to_string(StatedNorm norm) noexcept;

/// What `deadray predict` is asked to do.
struct PredictRequest {
  std::filesystem::path model;
  std::string site = "all";        ///< final, all, or a name
  std::optional<StatedNorm> norm;  ///< instead of what the family says
  PredictOptions predict;
  CheckpointOptions checkpoint;
  /// The catalogue of model types, for those without a family; may be absent.
  std::filesystem::path catalogue;
  /// Ask the parameters too which norm it is; reads the consumers' weights.
  bool classify = false;
  /// Keep each norm's DeadSubspace::inverse; it takes 8 bytes for each of the model's scales.
  bool keep_directions = false;

  NormRequest of_each_norm() const { return {predict, classify, keep_directions}; }
};

struct Prediction {
  /// Family: the model_type, of a family or of the catalogue; empty: unknown, norms found by names.
  std::string name, family;
  std::optional<HubSnapshot> hub;  ///< where the model is a snapshot of the hub's cache
  /// Number of parameters of the model that config.json describes; absent for an unknown family.
  std::optional<std::int64_t> parameters;
  std::vector<SitePrediction> sites;
  std::int64_t dead_directions = 0;  ///< of activations, over the evaluated sites
  std::int64_t dead_parameter_directions = 0;
  std::uint64_t bytes_read = 0;
  double seconds_open = 0, seconds_read = 0, seconds_predict = 0;
  std::vector<std::string> notes;
};

/// A model on disk with the norm sites that its configuration, or its tensors' names, tell.
struct OpenedModel {
  Checkpoint checkpoint;
  std::string family;
  std::optional<std::int64_t> parameters;
  std::vector<NormSite> sites;
  std::vector<std::string> notes;
  double seconds = 0;  ///< to open it
};

/// The names of the norms of which each clause of edges_of_range() holds.
using NormsByEdge = std::map<std::string_view, std::vector<std::string>>;
/// Adds one note for each clause.
void note_edges_of_range(const NormsByEdge& norms, std::vector<std::string>& notes);

/// @throws Error of every kind that Checkpoint, Config and the catalogue throw
OpenedModel open_checkpoint_model(const PredictRequest& request);
Prediction predict_model(const PredictRequest& request, const OpenedModel& model);

}  // namespace deadray
