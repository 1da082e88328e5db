#include "verify/fisher/fisher_verdict.h"

#include <fmt/format.h>

#include <cmath>

namespace deadray {

Judgement judge_group(const DirectionGroup& group, double limit) {
  const double control = group.median_random(), ratio = group.ratio();
  if (!std::isfinite(group.worst_dead()) || !std::isfinite(control))
    return {Verdict::undetermined, "F is not finite"};
  if (!(control > 0))
    return {Verdict::undetermined,
            "random directions change nothing here either: give longer sequences or other tokens"};
  if (!(ratio < limit))
    return {
        Verdict::refuted,
        fmt::format("F dead is {:.1e} of a random direction's, expected below {:g}", ratio, limit)};
  return {Verdict::confirmed, fmt::format("F dead is {:.1e} of a random direction's", ratio)};
}

namespace {

int severity(Verdict verdict) {
  return verdict == Verdict::refuted ? 2 : verdict == Verdict::undetermined ? 1 : 0;
}

}  // namespace

const DirectionGroup& decisive_group(const ConsumerFisher& consumer, at::ScalarType dtype) {
  const DirectionGroup &own = consumer.own, &shift = consumer.shift;
  if (shift.empty()) return own;
  if (own.empty()) return shift;
  const double limit = dead_ratio_limit(dtype);
  const int of_own = severity(judge_group(own, limit).verdict),
            of_shift = severity(judge_group(shift, limit).verdict);
  if (of_own != of_shift) return of_own > of_shift ? own : shift;
  return shift.ratio() > own.ratio() ? shift : own;
}

Judgement judge(const ConsumerFisher& consumer, at::ScalarType dtype) {
  if (!consumer.not_measured.empty()) return {Verdict::absent, consumer.not_measured};
  const DirectionGroup& group = decisive_group(consumer, dtype);
  if (!consumer.claimed() || group.empty()) return {Verdict::absent, consumer.claim.why};
  const Judgement judgement = judge_group(group, dead_ratio_limit(dtype));
  if (judgement.verdict == Verdict::confirmed && consumer.movement &&
      !(consumer.movement->dead < kStill))
    return {Verdict::refuted,
            fmt::format("finite steps moved the outputs by {:.1e}, expected below {:g}",
                        consumer.movement->dead, kStill)};
  return judgement;
}

ExitCode exit_code_of(const FisherMeasurement& measurement) {
  ExitCode worst = measurement.consumers.empty() ? ExitCode::undetermined : ExitCode::done;
  for (const ConsumerFisher& consumer : measurement.consumers) {
    const Verdict verdict = judge(consumer, measurement.dtype).verdict;
    if (verdict == Verdict::refuted) return ExitCode::refuted;
    if (verdict == Verdict::undetermined) worst = ExitCode::undetermined;
  }
  return worst;
}

}  // namespace deadray
