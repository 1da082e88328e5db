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
  /// layernorm where a shift is stored or rho leaves the null range. Nothing proves an rmsnorm:
  /// else empty.
  std::optional<NormKind> suggested;
  /// |W gamma|^2 / |W D_gamma|_F^2 of all consumers stacked. Along a random direction the same
  /// ratio is 1 on average.
  double rho = 0.0;
  double null_low = 0.0, null_high = 0.0;  ///< central 95 % of the ratio along random directions
};

std::string_view to_string(NormEvidence::Source source) noexcept;

/// Asks beta, else the consumers' weights W. In a LayerNorm model the component of W D_gamma along
/// (1, …, 1) carries no gradient: training leaves its share untouched while the rest moves. The
/// statistic is deadray's own. Streams the weights in pieces of a few MiB;
/// O(outputs * hidden_size * draws).
/// @throws MalformedError when a weight cannot be read. Weights of other shapes or of integer
/// storage are left out.
NormEvidence classify_norm(const Checkpoint& checkpoint, const NormSite& site,
                           const NormParameters& norm, std::uint64_t seed = 0);

}  // namespace deadray
