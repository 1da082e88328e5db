#pragma once

#include <ATen/ATen.h>

#include <optional>
#include <string>

#include "verify/measure/measurement.h"

// Where norms and their consumers stand in a model.
namespace deadray {

/// The block from whose input a run reaches this norm, or its consumers where the norm comes before
/// the first block; n_blocks for what follows the last. Absent for norms of a vision tower or a
/// predictor, which do not lie between the stream and the output.
std::optional<std::int64_t> entry_block(const Model& model, const NormSite& site);

/// Whether a consumer of the stream's norms has a part in the output. A pooler has none, nor has
/// the embedding of a predictor.
bool reaches_output(const Model& model, const std::string& consumer);

/// Whether this is the decoder of the head: its Fisher information has a closed form.
bool is_decoder(const Model& model, const std::string& consumer);

/// W [width, hidden_size] of a consumer, FP64, on the backend of its weights.
/// @throws InternalError for an unknown name
at::Tensor load_consumer(const Model& model, const std::string& consumer);

}  // namespace deadray
