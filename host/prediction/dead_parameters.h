#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "host/architecture/norm_site.h"
#include "host/prediction/predictor.h"

namespace deadray {

/// Parameter directions of the consumers that change no output, for any input, at any step size.
struct DeadParameters {
  enum class Family {
    none,             ///< nothing is claimed; `why` says so
    weight_and_bias,  ///< dW = u (1/gamma)^T, db = -c u : width directions
    weight,           ///< c = 0 and no bias: dW alone, width directions
    weight_and_beta,  ///< no bias and c != 0: a shift of beta compensates, hidden_size directions
                      ///< shared by all bias-free consumers of the norm
  };
  std::string consumer;
  std::int64_t width = 0;
  Family family = Family::none;
  std::int64_t count = 0;  ///< dead directions claimed for this consumer (weight_and_beta: counted
                           ///< at the first such consumer)
  std::string why;         ///< one clause for people
};

std::string_view to_string(DeadParameters::Family family) noexcept;

/// Counts per consumer; the local learning coefficient falls by half their sum.
/// A subspace of dimension k > 1 of exact zeros multiplies the count by k; for merely tiny gamma_i
/// only v* is exact and counted.
std::vector<DeadParameters> dead_parameters(const NormSite& site, const DeadSubspace& subspace);

}  // namespace deadray
