#pragma once

#include <string>
#include <string_view>

#include "host/architecture/norm_site.h"
#include "verify/measure/comparison.h"

namespace deadray {

enum class Verdict { confirmed, absent, refuted, undetermined };
std::string_view to_string(Verdict verdict) noexcept;

struct Judgement {
  Verdict verdict;
  std::string reason;  ///< one clause for people, always filled
};

/// confirmed     LayerNorm, N > d, all principal cosines >= kSameDirection and gap >= kClearGap
/// absent        RMSNorm that predicted none, and none measured
/// refuted       a measured contradiction
/// undetermined  N <= d, zero covariance, no gap, not finite, or more null directions than
/// predicted (the predicted among them:
///               lambda_v <= floor)
///
/// Method::directional sees no spectrum: confirmed where lambda_v is below the floor and kClearGap
/// below random directions, refuted where it is not kClearGap below them; an RMSNorm that predicts
/// nothing stays undetermined unless v* is dead (refuted).
Judgement judge(Method method, NormKind kind, const DeadSubspace& predicted,
                const Reading& reading);

}  // namespace deadray
