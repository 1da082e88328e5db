#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "host/architecture/norm_parameters.h"
#include "host/architecture/norm_site.h"
#include "host/prediction/dead_parameters.h"
#include "host/prediction/predictor.h"
#include "verify/measure/measurement.h"

namespace deadray {

/// One norm and what it predicts of its consumers.
struct SiteClaims {
  const NormSite& site;
  NormParameters norm;
  DeadSubspace subspace;
  std::vector<DeadParameters> claims;  ///< of each consumer
  std::optional<std::int64_t> entry;   ///< entry_block()

  /// The norm as it would be if no weight were used elsewhere, and the claims there. Nothing is
  /// claimed of a tied weight; these directions of an untied copy are measured.
  NormSite untied;
  std::vector<DeadParameters> constructions;
};

/// @param site  outlives the result
SiteClaims claims_of(const Model& model, const NormSite& site, const PredictOptions& options);

/// Why this consumer of the norm is not measured; empty where it is.
std::string obstacle(const Model& model, const SiteClaims& claims, const std::string& consumer);

}  // namespace deadray
