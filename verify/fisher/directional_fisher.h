#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "verify/fisher/output_keeper.h"
#include "verify/fisher/parameter_directions.h"

namespace deadray {

/// From where the directions of one norm's consumers are followed to the output: the block that the
/// norm belongs to.
struct FisherPass {
  const Model& model;
  const Calibration& calibration;
  const StreamsByNode& streams;  ///< of a run in the dtype of the pass, from `entry` on
  std::string site;              ///< the norm
  std::int64_t entry = 0;        ///< entry_block() of it
  std::size_t at_once = 0;       ///< directions in one pass; 0: as many as pay and fit

  at::ScalarType dtype() const { return streams.at(entry).scalar_type(); }
  Start start() const { return {entry, streams.at(entry)}; }
  Executor executor(const Weights& weights, std::int64_t directions = 0) const;
};

/// Bytes that one direction takes beside a pass: its stream, what it leaves at the output, and a
/// tile's widest activations.
double bytes_of_direction(const Model& model, const Calibration& calibration, at::ScalarType dtype);
/// Bytes of the head's decoder, which its closed form wants whole; 0 without a head.
double bytes_of_decoder(const Model& model, at::ScalarType dtype);
/// What a user can do where one of them does not fit.
inline constexpr const char* kLessForDirection =
    "give fewer tokens, a shorter --sequence-length, or --dtype float32";
inline constexpr const char* kLessForDecoder = "give --dtype float32, or --site of another norm";

/// F of directions, for a token: mean over the output's rows of J^T (diag p - p p^T) J, J the
/// derivative of the logits and p the model's own softmax; of a model without a head the Gaussian
/// form, mean |J|^2.
struct DirectionalFisher {
  std::vector<double> values;    ///< of each direction
  std::vector<double> kfac;      ///< the head's alone: (v^T A v)(u^T G u) of each, G in closed form
  at::Tensor input;              ///< [N, d] what the consumers read, the norm's output
  std::int64_t output_rows = 0;  ///< over how many the mean is
  double load_seconds = 0;
};

/// Of consumers inside the network: J by forward mode, as many directions in one pass as fit.
/// @throws ResourceError where not even one does, with the sizes
DirectionalFisher hidden_fisher(const FisherPass& pass,
                                std::span<const ParameterDirection> directions);

/// Of the head's decoder, in closed form: (<r, h> + s)^2 Var_p(slope u), the vocabulary in tiles. A
/// tied decoder counts as a copy of its own.
/// @throws ResourceError where the decoder does not fit
DirectionalFisher head_fisher(const FisherPass& pass,
                              std::span<const ParameterDirection> directions);

}  // namespace deadray
