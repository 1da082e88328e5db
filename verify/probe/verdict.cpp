#include "verify/probe/verdict.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "verify/base/thresholds.h"

namespace deadray {
namespace {

Judgement confirmed(std::string reason) { return {Verdict::confirmed, std::move(reason)}; }
Judgement refuted(std::string reason) { return {Verdict::refuted, std::move(reason)}; }
Judgement undetermined(std::string reason) { return {Verdict::undetermined, std::move(reason)}; }

std::string directions(std::int64_t count) {
  return fmt::format("{} null direction{}", count, count == 1 ? "" : "s");
}

bool is_finite(const Reading& r) {
  const auto& e = r.eigenvalues;
  const auto finite = [](double value) { return std::isfinite(value); };
  return finite(e.first) && finite(e.second) && finite(e.next) && finite(e.mean) &&
         finite(e.last) && finite(r.lambda_v) && finite(r.floor) && finite(r.gap) &&
         finite(r.residual) && finite(r.abs_cos.value_or(0)) &&
         finite(r.random_variance.value_or(0)) &&
         std::all_of(r.principal_cosines.begin(), r.principal_cosines.end(), finite);
}

std::string what_is_explained(std::int64_t predicted, std::int64_t inherited) {
  return inherited == 0 ? fmt::format("{} predicted", predicted)
                        : fmt::format("{} predicted and {} inherited", predicted, inherited);
}

double least_cosine(const std::vector<double>& cosines) {
  return cosines.empty() ? 0.0 : *std::min_element(cosines.begin(), cosines.end());
}

/// Whether every direction below the gap is explained, and every explained one is below it.
bool explains(std::int64_t explained, std::int64_t dimension, const std::vector<double>& cosines,
              double gap) {
  return dimension <= explained && gap >= kClearGap &&
         (explained == 0 || least_cosine(cosines) >= kSameDirection);
}

/// k >= 1 directions are predicted or inherited.
Judgement judge_subspace(std::int64_t predicted, const Reading& r) {
  const std::int64_t k = predicted + r.inherited;
  const double cosine = least_cosine(r.principal_cosines);
  const std::string figures =
      fmt::format("lambda_{} is {:.2g} x what is dead or rounding below it, |cos| = {:.6f}", k + 1,
                  r.gap, cosine);
  if (r.dimension > k) {
    if (predicted > 0 && r.lambda_v > r.floor)
      return refuted(
          fmt::format("{} measured, the predicted {} not among them: variance {:.2g} along it, "
                      "rounding floor {:.2g}",
                      directions(r.dimension), k, r.lambda_v, r.floor));
    return undetermined(
        fmt::format("{} measured but {}: the predicted space is among them, the rest has "
                    "another cause",
                    directions(r.dimension), what_is_explained(predicted, r.inherited)));
  }
  if (explains(k, r.dimension, r.principal_cosines, r.gap)) return confirmed(figures);
  if (r.gap >= kClearGap && r.principal_cosines.empty())
    return undetermined(
        fmt::format("lambda_{} is {:.2g} x what is dead or rounding below it, but no bound on the "
                    "angle; eigh measures it",
                    k + 1, r.gap));
  if (r.gap >= kClearGap)
    return refuted(fmt::format("{}: the bottom of the spectrum is elsewhere", figures));
  if (predicted > 0 && r.lambda_v >= kClearGap * r.floor)
    return refuted(fmt::format(
        "the predicted space is not null: variance {:.2g} along it, {:.2g} x the rounding floor",
        r.lambda_v, r.lambda_v / r.floor));
  return undetermined(fmt::format("no gap: {} where {:g} is asked for", figures, kClearGap));
}

Judgement judge_nothing_predicted(const Reading& r) {
  if (r.dimension > 0)
    return refuted(
        fmt::format("{} measured below the rounding floor {:.2g} where none is predicted",
                    directions(r.dimension), r.floor));
  return {Verdict::absent, fmt::format("lambda_1 = {:.2g} is {:.2g} x the rounding floor",
                                       r.eigenvalues.first, r.eigenvalues.first / r.floor)};
}

/// What scaled figures say that settle what the plain ones leave open.
Judgement judge_scaled(std::int64_t k, const ScaledReading& scaled) {
  const std::string next = fmt::format(
      "lambda_{} of the covariance scaled to unit variances is "
      "{:.2g} x what is dead or rounding below it",
      k + 1, scaled.gap);
  return confirmed(
      k == 0 ? next
             : fmt::format("{}, |cos| = {:.6f}", next, least_cosine(scaled.principal_cosines)));
}

/// Without the spectrum: compares the variance along the prediction with that along random
/// directions.
Judgement judge_directional(std::int64_t k, const Reading& r) {
  if (!r.random_variance) return undetermined("no random directions were measured to compare with");
  const double random = *r.random_variance;
  if (!(random > 0))
    return undetermined(
        "covariance is zero: every token gave the same output, direction undefined");
  const std::string figures =
      fmt::format("variance {:.2g} along the {} direction, {:.2g} along random ones", r.lambda_v,
                  k > 0 ? "predicted" : "control", random);
  const bool dead = r.lambda_v <= r.floor && r.lambda_v * kClearGap <= random;
  if (k == 0) {
    if (dead) return refuted(figures + ": dead where nothing is predicted");
    return undetermined(figures + ": that no other direction is dead takes the spectrum");
  }
  if (dead) return confirmed(figures + "; the rest of the spectrum was not examined");
  if (r.lambda_v * kClearGap > random) return refuted(figures);
  return undetermined(
      fmt::format("{}: small, yet above the rounding floor {:.2g}", figures, r.floor));
}

}  // namespace

std::string_view to_string(Verdict verdict) noexcept {
  switch (verdict) {
    case Verdict::confirmed:
      return "confirmed";
    case Verdict::absent:
      return "absent";
    case Verdict::refuted:
      return "refuted";
    case Verdict::undetermined:
      return "undetermined";
  }
  return "?";
}

std::optional<Verdict> verdict_from_name(std::string_view name) noexcept {
  for (const Verdict verdict :
       {Verdict::confirmed, Verdict::absent, Verdict::refuted, Verdict::undetermined})
    if (name == to_string(verdict)) return verdict;
  return std::nullopt;
}

Judgement judge(Method method, NormKind kind, const DeadSubspace& predicted, const Reading& r) {
  const auto k = predicted.dimension;
  if (!is_finite(r))
    return undetermined("the measurement is not finite: NaN or Inf in the activations");
  if (r.tokens <= r.hidden_size)
    return undetermined(
        fmt::format("{} tokens for hidden_size {}: the covariance has null directions of its own; "
                    "give more than {}",
                    r.tokens, r.hidden_size, r.hidden_size));
  if (kind == NormKind::layernorm && k == 0)
    return undetermined("nothing was predicted for this LayerNorm");
  if (method == Method::directional) return judge_directional(k, r);
  if (!(r.eigenvalues.last > 0))
    return undetermined(
        "covariance is zero: every token gave the same output, direction undefined");
  Judgement judgement = k + r.inherited == 0 ? judge_nothing_predicted(r) : judge_subspace(k, r);
  if (r.scaled && is_open(method, predicted, r) &&
      explains(k + r.inherited, r.scaled->dimension, r.scaled->principal_cosines, r.scaled->gap))
    judgement = judge_scaled(k + r.inherited, *r.scaled);
  if (judgement.verdict == Verdict::confirmed && r.inherited > 0)
    judgement.reason += fmt::format("; {} of the {} null directions come with the norm's input",
                                    r.inherited, k + r.inherited);
  if (judgement.verdict == Verdict::confirmed && k == 0) judgement.verdict = Verdict::absent;
  return judgement;
}

bool is_open(Method method, const DeadSubspace& predicted, const Reading& r) {
  const std::int64_t explained = predicted.dimension + r.inherited;
  if (method == Method::directional || !is_finite(r) || r.tokens <= r.hidden_size ||
      !(r.eigenvalues.last > 0))
    return false;
  if (explained == 0) return r.dimension > 0;
  const bool dead = predicted.dimension == 0 || r.lambda_v <= r.floor;
  return dead && (r.dimension > explained || r.gap < kClearGap);
}

bool agrees(const Judgement& judgement) noexcept {
  return judgement.verdict == Verdict::confirmed || judgement.verdict == Verdict::absent;
}

Judgement beside_inherited(Judgement judgement, std::int64_t inherited) {
  judgement.verdict = Verdict::undetermined;
  judgement.reason +=
      fmt::format("; {} come with the norm's input, which does not explain all", inherited);
  return judgement;
}

}  // namespace deadray
