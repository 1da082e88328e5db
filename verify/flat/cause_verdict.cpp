#include <fmt/format.h>

#include "verify/fisher/fisher_verdict.h"
#include "verify/flat/cause_fisher.h"

namespace deadray::flat {

Judgement judge(const CauseFisher& cause, at::ScalarType dtype) {
  if (cause.group.empty()) return {Verdict::absent, cause.why};
  const Judgement judgement = judge_group(cause.group, dead_ratio_limit(dtype));
  if (judgement.verdict == Verdict::confirmed && cause.movement &&
      !(cause.movement->dead < kStillOnCurve))
    return {Verdict::refuted,
            fmt::format("finite steps moved the outputs by {:.1e}, expected below {:g}",
                        cause.movement->dead, kStillOnCurve)};
  return judgement;
}

ExitCode exit_code_of(const CauseMeasurement& measurement) {
  bool any = false, open = false, none_flat = true;
  for (const CauseFisher& cause : measurement.causes) {
    const Verdict verdict = judge(cause, measurement.dtype).verdict;
    if (verdict == Verdict::refuted) return ExitCode::refuted;
    none_flat = none_flat && cause.dimension == 0;
    open = open || verdict == Verdict::undetermined;
    any = any || verdict == Verdict::confirmed;
  }
  return (any || none_flat) && !open ? ExitCode::done : ExitCode::undetermined;
}

}  // namespace deadray::flat
