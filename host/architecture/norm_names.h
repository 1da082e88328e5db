#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "host/architecture/architecture.h"
#include "host/architecture/norm_site.h"
#include "host/formats/checkpoint.h"

// What the names of tensors say of norms where no configuration does, or against it.
namespace deadray {

/// Whether a comes before b, numbers in them compared by their value: "h.9.ln" before "h.10.ln".
bool comes_before(std::string_view a, std::string_view b);

/// Whether a site belongs to a block or another numbered part: "h.3.ln_1", "layer_3.norm",
/// "norms.3"; not "ln_1", "encoder.norm2".
bool is_in_numbered_part(std::string_view site);

struct DiscoveredNorms {
  /// In the order of comes_before(), the final one last. None is final where names do not tell.
  std::vector<NormSite> sites;
  std::vector<std::string> notes;  ///< on tensors named as a norm's that were not taken for one
};

/// Norms guessed from tensor names alone, for a model_type that deadray does not know and whose
/// kind of norm the user states. Taken is every tensor of rank 1 called …norm….weight, …ln_x.weight
/// or the like; consumers are unknown. The final norm is the only one outside the numbered parts,
/// those of an embedding or a head aside.
/// @throws MalformedError when there is none; when a shift is not as long as its scale, naming file
/// and tensor
DiscoveredNorms discover_norms(const Checkpoint& checkpoint, NormKind kind, double weight_offset);

/// Adds to `notes` one line on norms that the checkpoint holds and that are not among `sites`,
/// those that its configuration describes. What architecture.left_out names is passed over.
/// @throws MalformedError with that line where `strict`
void note_undescribed_norms(const Checkpoint& checkpoint, const Architecture& architecture,
                            const std::vector<NormSite>& sites, bool strict,
                            std::vector<std::string>& notes);

}  // namespace deadray
