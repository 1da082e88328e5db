#include "host/norm_site.h"

#include <algorithm>
#include <cctype>

namespace deadray {

std::string_view to_string(NormKind kind) noexcept {
  return kind == NormKind::layernorm ? "layernorm" : "rmsnorm";
}

bool looks_like_norm(std::string_view tensor) {
  std::string lower(tensor);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const auto contains = [&](std::string_view part) {
    return lower.find(part) != std::string::npos;
  };
  return contains("norm") || contains("ln_") || contains(".ln") || lower.starts_with("ln");
}

std::string gamma_name(const NormSite& site) {
  return site.row < 0 ? site.weight : site.weight + " row " + std::to_string(site.row);
}

}  // namespace deadray
