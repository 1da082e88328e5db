#include "host/architecture/norm_site.h"

namespace deadray {

std::string_view to_string(NormKind kind) noexcept {
  return kind == NormKind::layernorm ? "layernorm" : "rmsnorm";
}

std::string gamma_name(const NormSite& site) {
  return site.row < 0 ? site.weight : site.weight + " row " + std::to_string(site.row);
}

}  // namespace deadray
