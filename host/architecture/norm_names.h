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
  std::vector<NormSite> sites;  ///< in the order of comes_before(), the final one last; none is
                                ///< where the names do not tell
  std::vector<std::string>
      notes;  ///< tensors that are called as a norm's and were not taken for one
};

/// Norms guessed from tensor names alone, for a model_type that deadray does not know and whose
/// norm kind the user states: every rank-1 tensor called …norm….weight, …ln_x.weight or the like;
/// consumers unknown. Final is the only one outside the numbered parts, those that belong to an
/// embedding or a head aside.
/// @throws MalformedError when there is none, and naming file and tensor when a shift is not as
/// long as its scale
DiscoveredNorms discover_norms(const Checkpoint& checkpoint, NormKind kind, double weight_offset);

/// Adds to `notes` one line on the norms that the checkpoint holds and `sites`, those that its
/// configuration describes, do not; what architecture.left_out names aside.
/// @throws MalformedError with that line where `strict`
void note_undescribed_norms(const Checkpoint& checkpoint, const Architecture& architecture,
                            const std::vector<NormSite>& sites, bool strict,
                            std::vector<std::string>& notes);

}  // namespace deadray
