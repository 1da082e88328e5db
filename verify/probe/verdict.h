#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "host/architecture/norm_site.h"
#include "verify/probe/comparison.h"

namespace deadray {

enum class Verdict { confirmed, absent, refuted, undetermined };
std::string_view to_string(Verdict verdict) noexcept;
/// The inverse of to_string(); nothing for any other word.
std::optional<Verdict> verdict_from_name(std::string_view name) noexcept;

struct Judgement {
  Verdict verdict;
  std::string reason;  ///< one clause for people, always filled
};

/// Decides what a norm's decisive reading says of its prediction:
/// confirmed     N > d, every principal cosine >= kSameDirection, and gap >= kClearGap
/// absent        an RMSNorm of which nothing was predicted, and nothing was found
/// refuted       the measurement contradicts the prediction
/// undetermined  N <= d, zero covariance, no gap, not finite, or more null directions than
///               predicted, the predicted ones among them (lambda_v <= floor)
///
/// What the reading counts as inherited is explained like what is predicted. Where the spectrum
/// leaves it open and `scaled` is there, the same is asked of that; it settles or changes nothing.
///
/// Method::directional sees no spectrum. It confirms where lambda_v is below the floor and
/// kClearGap times below the variance along random directions, and refutes where it is not
/// kClearGap times below that. Of an RMSNorm of which nothing was predicted it can say only that v*
/// is dead (refuted); else that stays undetermined.
Judgement judge(Method method, NormKind kind, const DeadSubspace& predicted,
                const Reading& reading);

/// Whether it is the spectrum alone that leaves a reading open: more is below the rounding floor
/// than is explained, or too little above it, and the predicted directions are dead. Then null
/// directions of the input, or a floor that huge variances raise, may be the cause.
bool is_open(Method method, const DeadSubspace& predicted, const Reading& reading);

/// Whether a judgement agrees with the prediction: confirmed, or absent as predicted.
bool agrees(const Judgement& judgement) noexcept;

/// A judgement that does not agree although the input brings null directions along: they do not
/// explain all. Says so, and refutes no RMSNorm: few different rows leave null directions too.
Judgement beside_inherited(Judgement judgement, std::int64_t inherited);

}  // namespace deadray
