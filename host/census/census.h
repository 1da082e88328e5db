#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "host/architecture/architecture.h"
#include "host/formats/checkpoint.h"

namespace deadray {

/// Directions of parameters that one cause makes flat in one block.
struct CensusEntry {
  std::string cause;        ///< norm_kernel, ...: docs/census.md
  std::string stack;        ///< model, vision, predictor
  std::int64_t block = -1;  ///< -1: of no block
  std::int64_t dimension = 0;
  std::string why;  ///< where the dimension is 0
};

/// Every direction of a model's parameters along which a whole curve leaves all outputs as they
/// are, by cause. No direction is counted twice.
struct Census {
  std::int64_t parameters = 0;  ///< D, tied weights once
  std::int64_t flat = 0;        ///< of all causes, for generic parameters
  std::int64_t unreached = 0;   ///< parameters that no input reaches; not in `flat`
  /// Directions along which the norms' eps alone is seen; not in `flat`.
  std::int64_t flat_up_to_eps = 0;
  std::vector<CensusEntry> causes;             ///< cause by cause, in the order of docs/census.md
  std::vector<CensusEntry> up_to_eps;          ///< stream_scale, qk_scale, value_scale, head_scale
  std::vector<CensusEntry> unreached_tensors;  ///< `cause` is the tensor's name
  std::vector<std::string> notes;

  /// Of the local learning coefficient: it is at most half of what is neither flat nor unreached.
  double llc_bound() const { return static_cast<double>(parameters - flat - unreached) / 2; }
};

/// The architecture as a checkpoint has it: without a head or a pooler that it does not hold, which
/// a note tells.
Architecture as_stored(Architecture architecture, const Checkpoint& checkpoint,
                       std::vector<std::string>& notes);

/// @param architecture  after fit_to_checkpoint() where there is a checkpoint
/// @param checkpoint    decides which of its scales are exactly zero, whether its shifts are, and
/// whether head and pooler are there; without one all parameters are generic
/// @throws as norm_sites() and load_norm() do
Census census_of(const Architecture& architecture, const std::optional<Checkpoint>& checkpoint);

}  // namespace deadray
