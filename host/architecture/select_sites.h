#pragma once

#include <string_view>
#include <vector>

#include "host/architecture/norm_site.h"

namespace deadray {

/// The sites that --site asks for: "final", "all", or the name of one. Its last components suffice
/// where they are unique: "norm" for "model.norm".
/// @throws UsageError with a few near names, and how many there are
std::vector<NormSite> select_sites(const std::vector<NormSite>& sites, std::string_view which);

}  // namespace deadray
