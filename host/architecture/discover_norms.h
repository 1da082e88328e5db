#pragma once

#include <string>
#include <vector>

#include "host/architecture/norm_site.h"
#include "host/formats/checkpoint.h"

namespace deadray {

struct DiscoveredNorms {
  /// In the order of comes_before(), the final one last. None is final where names do not tell.
  std::vector<NormSite> sites;
  /// On names that are not weight and bias, on what was not taken for a norm, and why.
  std::vector<std::string> notes;
};

/// Norms guessed from tensor names alone, for a model_type that deadray does not know and whose
/// kind of norm the user states. Taken is every tensor of rank 1 called …norm….weight, …ln_x.weight
/// or the like, also as gamma, g, a_2, scale, or as layer_norm_weight inside a fused map. What lies
/// beside a scale can show that it is none of a LayerNorm's: alpha (dynamic tanh), running
/// statistics (batch norm), convolutions that read it (maybe a group norm). Consumers are unknown.
/// The final norm is the only one outside the numbered parts, those of an embedding or a head
/// aside.
/// @throws MalformedError when there is none; when a shift is not as long as its scale, naming file
/// and tensor
/// @throws UnsupportedError when there are only such as are no LayerNorm's
DiscoveredNorms discover_norms(const Checkpoint& checkpoint, NormKind kind, double weight_offset);

}  // namespace deadray
