#include "host/norm_site.h"

namespace deadray {

std::string_view to_string(NormKind kind) noexcept { return kind == NormKind::layernorm ? "layernorm" : "rmsnorm"; }

}  // namespace deadray
