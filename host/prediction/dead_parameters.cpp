#include "host/prediction/dead_parameters.h"

#include <algorithm>

namespace deadray {
namespace {

using ParameterFamily = DeadParameters::Family;

/// Vectors v for which <v, h> is constant for every input, exactly: v* of a LayerNorm, or e_i for
/// each gamma_i = 0.
struct ConstantFunctionals {
  std::int64_t count = 0;
  bool all_zero = true;  ///< their constants
};

ConstantFunctionals constant_functionals(const NormSite& site, const DeadSubspace& subspace) {
  const auto& shifts = subspace.zero_shifts;
  if (!shifts.empty())
    return {static_cast<std::int64_t>(shifts.size()),
            std::all_of(shifts.begin(), shifts.end(), [](double b) { return b == 0.0; })};
  if (site.kind == NormKind::rmsnorm || !subspace.constant) return {};
  return {1, *subspace.constant == 0.0};
}

/// Why no shift of this norm's beta can be compensated, or nullptr when it can.
const char* beta_obstacle(const NormSite& site) {
  if (site.feeds_residual) return "no bias, and beta also shifts the residual stream";
  const bool tied = std::any_of(site.consumers.begin(), site.consumers.end(),
                                [](const Consumer& c) { return c.tied && !c.has_bias; });
  return tied ? "no bias, and a shift of beta would reach a weight that is tied" : nullptr;
}

}  // namespace

std::string_view to_string(ParameterFamily family) noexcept {
  switch (family) {
    case ParameterFamily::weight_and_bias:
      return "weight_and_bias";
    case ParameterFamily::weight:
      return "weight";
    case ParameterFamily::weight_and_beta:
      return "weight_and_beta";
    case ParameterFamily::none:
      break;
  }
  return "none";
}

std::vector<DeadParameters> dead_parameters(const NormSite& site, const DeadSubspace& subspace) {
  const ConstantFunctionals constant = constant_functionals(site, subspace);
  const char* obstacle = beta_obstacle(site);
  bool beta_counted = false;
  std::vector<DeadParameters> all;
  for (const Consumer& consumer : site.consumers) {
    DeadParameters dead{consumer.name, consumer.width, ParameterFamily::none, 0, {}};
    if (constant.count == 0) {
      dead.why = site.kind == NormKind::rmsnorm ? "an RMSNorm fixes no direction of its output"
                                                : "no direction of the output is fixed exactly";
    } else if (consumer.tied) {
      dead.why = "its weight is tied: a change moves the other use too";
    } else if (consumer.has_bias) {
      dead = {consumer.name, consumer.width, ParameterFamily::weight_and_bias,
              constant.count * consumer.width, "the bias takes up the constant"};
    } else if (constant.all_zero) {
      dead = {consumer.name, consumer.width, ParameterFamily::weight,
              constant.count * consumer.width, "the constant is 0"};
    } else {
      // Of k functionals, k - 1 combinations have the constant 0 and need no compensation.
      dead.count = (constant.count - 1) * consumer.width;
      dead.family = dead.count > 0 ? ParameterFamily::weight : ParameterFamily::none;
      dead.why = obstacle != nullptr ? obstacle : "";
      if (obstacle == nullptr) {
        dead.family = ParameterFamily::weight_and_beta;
        dead.count += beta_counted ? 0 : site.hidden_size;
        dead.why = beta_counted ? "shares the shift of beta counted before"
                                : "a shift of beta takes up the constant";
        beta_counted = true;
      }
    }
    all.push_back(std::move(dead));
  }
  return all;
}

}  // namespace deadray
