#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "host/architecture/norm_site.h"
#include "host/formats/checkpoint.h"
#include "host/prediction/classify.h"
#include "host/prediction/dead_parameters.h"
#include "host/prediction/predictor.h"

namespace deadray {

/// What is asked of each norm.
struct NormRequest {
  PredictOptions predict;
  bool classify = false;         ///< fill in SitePrediction::evidence
  bool keep_directions = false;  ///< keep DeadSubspace::inverse
};

struct SitePrediction {
  NormSite site;
  DeadSubspace subspace;  ///< with `inverse` where NormRequest::keep_directions asked for it
  std::vector<DeadParameters> consumers;
  DType stored = DType::unknown;
  std::optional<NormEvidence> evidence;
};

/// What one pass over a model's norms yields.
struct PredictedNorms {
  std::vector<SitePrediction> sites;  ///< in the order of the sites that were given
  std::uint64_t bytes_read = 0;       ///< of the norms
  /// Wall time of the pass, divided as its threads' time was.
  double seconds_read = 0, seconds_predict = 0;
};

/// Reads each norm, predicts from it and lets it go, in several threads where there are many:
/// memory holds one norm a thread. The directions are kept where `request` asks for them. The
/// result does not depend on the number of threads.
/// @param threads  0: as many as pay
/// @throws Error as load_norm(), predict() and classify_norm() do; of several that of the first
/// site
PredictedNorms predict_norms(const Checkpoint& checkpoint, std::vector<NormSite> sites,
                             const NormRequest& request, std::size_t threads = 0);

}  // namespace deadray
