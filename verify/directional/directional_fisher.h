#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "verify/directional/output_keeper.h"
#include "verify/directional/parameter_directions.h"

namespace deadray {

/// A run of the model that follows directions of one norm's consumers to the output. It begins at
/// the block that the norm belongs to.
struct FisherPass {
  const Model& model;
  const Calibration& calibration;
  const StreamsByNode& streams;  ///< of a run in the dtype of the pass, from `entry` on
  std::string site;              ///< the norm
  std::int64_t entry = 0;        ///< entry_block() of it
  std::size_t at_once = 0;       ///< directions in one pass; 0: as many as pay and fit
  /// Those that run the same directions on other tokens: every mean below is over the rows of all,
  /// and every function is collective.
  Communicator* ranks = &one_process();

  at::ScalarType dtype() const { return streams.at(entry).scalar_type(); }
  Start start() const { return {entry, streams.at(entry)}; }
  Executor executor(const Weights& weights, std::int64_t directions = 0) const;
};

/// Bytes that a pass takes for each direction: its stream, its part of the output, and the widest
/// activations of a tile.
double bytes_of_direction(const Model& model, const Calibration& calibration, at::ScalarType dtype);
/// Bytes of the head's decoder, which the closed form reads whole; 0 without a head.
double bytes_of_decoder(const Model& model, at::ScalarType dtype);
// What a user can do where one of them does not fit.
inline constexpr const char* kLessForDirection =
    "give fewer tokens, a shorter --sequence-length, or --dtype float32";
inline constexpr const char* kLessForDecoder = "give --dtype float32, or --site of another norm";

/// F of directions, for a token: the mean over the output's rows that count of J^T (diag p - p p^T)
/// J. J is the derivative of the logits, p the model's own softmax. A model without a head has the
/// Gaussian form, the mean of |J|^2.
struct DirectionalFisher {
  std::vector<double> values;    ///< of each direction
  std::vector<double> kfac;      ///< of head_fisher() alone: (v^T A v)(u^T G u), G in closed form
  at::Tensor input;              ///< [n, d] what the consumers read, rows that count
  std::int64_t output_rows = 0;  ///< of which F is the mean, those of this rank
  double load_seconds = 0;
  std::vector<std::string> notes;  ///< of the passes, for the user; some may repeat
};

/// Of consumers inside the network: J by forward mode, as many directions in one pass as fit.
/// @throws ResourceError with the sizes, where not even one direction fits
DirectionalFisher hidden_fisher(const FisherPass& pass,
                                std::span<const ParameterDirection> directions);

/// Of the head's decoder, in closed form: (<r, h> + s)^2 Var_p(slope u). Of a tied decoder an
/// untied copy is measured.
/// @throws ResourceError where the decoder does not fit
DirectionalFisher head_fisher(const FisherPass& pass,
                              std::span<const ParameterDirection> directions);

}  // namespace deadray
