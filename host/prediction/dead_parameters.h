#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "host/architecture/norm_site.h"
#include "host/prediction/predictor.h"

namespace deadray {

/// Directions of a consumer's parameters that change no output, for any input, at any step size.
/// With c = sum beta/gamma, what <1/gamma, h> equals for every output h of the norm:
struct DeadParameters {
  enum class Family {
    none,             ///< nothing is claimed; `why` says so
    weight_and_bias,  ///< dW = u (1/gamma)^T and db = -c u: as many as the consumer has outputs
    weight,           ///< c = 0 and no bias: dW alone, as many as there are outputs
    /// No bias and c != 0: a shift of beta compensates. hidden_size directions, which all consumers
    /// of the norm without bias share.
    weight_and_beta,
  };
  std::string consumer;
  std::int64_t width = 0;  ///< outputs
  Family family = Family::none;
  std::int64_t count = 0;  ///< claimed; those that consumers share count at the first of them
  std::string why;         ///< one clause for people
};

std::string_view to_string(DeadParameters::Family family) noexcept;

/// Counts per consumer; the local learning coefficient falls by half their sum. k exact zeros of
/// gamma multiply the count by k. Where gamma_i are merely tiny, only v* is exact and counted.
std::vector<DeadParameters> dead_parameters(const NormSite& site, const DeadSubspace& subspace);

}  // namespace deadray
