#include "host/formats/tensor_names.h"

#include <algorithm>
#include <cctype>
#include <string>

namespace deadray {

bool looks_like_norm(std::string_view tensor) {
  std::string lower(tensor);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const auto contains = [&](std::string_view part) {
    return lower.find(part) != std::string::npos;
  };
  return contains("norm") || contains("ln_") || contains(".ln") || lower.starts_with("ln");
}

}  // namespace deadray
