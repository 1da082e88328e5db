#pragma once

#include <c10/core/ScalarType.h>

#include "host/base/error.h"
#include "verify/fisher/fisher_result.h"
#include "verify/probe/verdict.h"

// What the figures of a consumer say of its claim.
namespace deadray {

/// Largest ratio of F, dead to random, that counts as dead. With rounding u of each element of
/// <r, h> + s, F of a dead direction is about u^2 of a control's: 1e-32 in FP64, 1e-14 in FP32. The
/// limits leave room for sums and for r, in which small gamma weigh most. A forgotten constant c
/// gives (c / |h|)^2, far above them.
inline constexpr double kDeadRatio = 1e-20, kDeadRatioFloat32 = 1e-8;
inline double dead_ratio_limit(at::ScalarType dtype) {
  return dtype == at::kDouble ? kDeadRatio : kDeadRatioFloat32;
}

/// Largest movement of the outputs that counts as none. A step of 100 |W| rounds W by
/// 100 u |W| sqrt(rank), 1e-13; three orders of magnitude are left for depth.
inline constexpr double kStill = 1e-10;

/// Of F alone: dead directions beside controls of the same size.
Judgement judge_group(const DirectionGroup& group, double limit);

/// The verdict on a consumer's claim:
///   confirmed     every direction is dead within those limits
///   refuted       one is not, or finite steps moved the outputs
///   undetermined  F is no number, or the controls are dead too, as those of queries in sequences
///   of
///                 one token are
///   absent        nothing is claimed, or nothing was measured
/// Each group is judged by its own controls; the worse of the two decides.
Judgement judge(const ConsumerFisher& consumer, at::ScalarType dtype);

/// The group with the worse verdict; of two that agree, the one with the larger ratio. `own`,
/// empty, where nothing was measured.
const DirectionGroup& decisive_group(const ConsumerFisher& consumer, at::ScalarType dtype);

/// refuted when any claim is; else undetermined when any is, or when no norm has a consumer; else
/// done.
ExitCode exit_code_of(const FisherMeasurement& measurement);

}  // namespace deadray
