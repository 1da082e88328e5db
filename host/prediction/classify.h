#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "host/architecture/norm_parameters.h"
#include "host/architecture/norm_site.h"
#include "host/formats/checkpoint.h"

namespace deadray {

/// What a norm's parameters say about its kind, the configuration aside. Exploratory: reported with
/// its null range, never as proof.
struct NormEvidence {
  enum class Source {
    beta,       ///< a shift is stored: LayerNorm
    consumers,  ///< rho of the linear maps that read it
    none,       ///< no shift, and no consumer whose weight could be read
  } source = Source::none;
  std::optional<NormKind> suggested;  ///< layernorm when a shift is stored or rho leaves the null
                                      ///< range; rmsnorm is never proven, so else empty
  double rho = 0.0;  ///< |W gamma|^2/|W D_gamma|_F^2, all consumers stacked: 1 on average along a
                     ///< random direction
  double null_low = 0.0,
         null_high = 0.0;  ///< central 95 % of the same ratio along random unit directions
};

std::string_view to_string(NormEvidence::Source source) noexcept;

/// In a LayerNorm model the component of W D_gamma along 1 carries no gradient, so training leaves
/// its share untouched while the rest moves: an own, exploratory statistic. Streams the consumers'
/// weights in pieces of a few MiB; O(outputs * hidden_size * draws).
/// @throws MalformedError when a weight cannot be read; weights of other shapes or integer storage
/// are left out
NormEvidence classify_norm(const Checkpoint& checkpoint, const NormSite& site,
                           const NormParameters& norm, std::uint64_t seed = 0);

}  // namespace deadray
