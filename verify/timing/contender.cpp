#include "verify/timing/contender.h"

namespace deadray {

std::string_view to_string(TimingMethod method) noexcept {
  switch (method) {
    case TimingMethod::predict:
      return "predict";
    case TimingMethod::predict_cold:
      return "predict_cold";
    case TimingMethod::directional:
      return "directional";
    case TimingMethod::moments:
      return "moments";
    case TimingMethod::certificate:
      return "certificate";
    case TimingMethod::spectrum:
      return "spectrum";
    case TimingMethod::eigh:
      return "eigh";
    case TimingMethod::svd:
      return "svd";
    case TimingMethod::forward:
      return "forward";
    case TimingMethod::eigh_bottom:
      return "eigh_bottom";
    case TimingMethod::eigenvalues:
      return "eigenvalues";
    case TimingMethod::fisher:
      return "fisher";
  }
  return "?";
}

std::optional<TimingMethod> timing_method_from_name(std::string_view name) noexcept {
  for (const TimingMethod method : kOwnMethods)
    if (name == to_string(method)) return method;
  for (const TimingMethod method : kPeerMethods)
    if (name == to_string(method)) return method;
  return std::nullopt;
}

}  // namespace deadray
