#pragma once

#include <fmt/format.h>

#include <optional>
#include <string>

#include "host/architecture/norm_site.h"
#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/prediction/predictor.h"

// Arguments that both modules take from Python.
namespace deadray {

/// @throws UsageError for any other word
inline NormKind kind_named(const std::string& name) {
  for (const NormKind kind : {NormKind::layernorm, NormKind::rmsnorm})
    if (to_string(kind) == name) return kind;
  throw UsageError(fmt::format("kind: {} is neither 'layernorm' nor 'rmsnorm'", in_quotes(name)));
}

/// @throws UsageError unless 0 <= tau < 1
inline PredictOptions options_of(std::optional<double> tau) {
  PredictOptions options;
  if (!tau) return options;
  if (!(*tau >= 0.0 && *tau < 1.0))
    throw UsageError(fmt::format("tau: {} is not a number with 0 <= x < 1", *tau));
  options.relative_tau = *tau;
  return options;
}

}  // namespace deadray
