#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/arithmetic/host_device.h"
#include "kernels/arithmetic/running_moments.h"

/// The arithmetic of head_fisher, one place for host and device. The vocabulary is taken in pieces.
/// In each piece the entry with the largest logit, the champion, is kept apart from the sums over
/// the rest: a softmax of which one entry has nearly all (1 - p far below the rounding of the sums)
/// still shows its variance. Pieces merge without cancellation.
namespace deadray::kernels {

/// What follows the head's product: logits = cap(scale * (W h + bias)) with scale > 0. Where
/// soft_cap > 0, cap(z) = soft_cap * tanh(z / soft_cap), else cap(z) = z. A bias of -inf masks its
/// entry, with a cap too: p = 0. A token all of whose entries are masked has variance 0.
struct LogitArguments {
  const double* bias = nullptr;  ///< [vocab] FP64 in the rows' memory, or null
  double scale = 1.0, soft_cap = 0.0;
};

/// LogitArguments as the arithmetic wants them; inverse_cap = 1 / soft_cap, 0 without a cap.
template <typename Real>
struct LogitRule {
  Real scale, soft_cap, inverse_cap;
};

/// A logit and its slope, the derivative by its argument scale * (W h + bias).
template <typename Real>
struct Logit {
  Real value, slope;
};

template <typename Real>
DEADRAY_HOST_DEVICE LogitRule<Real> logit_rule(double scale, double soft_cap) {
  const bool capped = soft_cap > 0.0;
  return {static_cast<Real>(scale), static_cast<Real>(capped ? soft_cap : 0.0),
          static_cast<Real>(capped ? 1.0 / soft_cap : 0.0)};
}

/// exp(x), x <= 0. In FP32 on a device to 2 + 1.2 |x| units in the last place: since the weight
/// falls as exp(x), it errs by 1.2e-7 at most.
DEADRAY_HOST_DEVICE double softmax_weight(double x) { return std::exp(x); }
DEADRAY_HOST_DEVICE float softmax_weight(float x) {
#if defined(__CUDA_ARCH__)
  return __expf(x);
#else
  return std::exp(x);
#endif
}

/// a / b, 1 <= b <= 4. In FP32 on a device to 2 units in the last place.
DEADRAY_HOST_DEVICE double quotient(double a, double b) { return a / b; }
DEADRAY_HOST_DEVICE float quotient(float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fdividef(a, b);
#else
  return a / b;
#endif
}

/// The slope is 1 / cosh^2 rather than 1 - tanh^2, which keeps no digit where the cap saturates.
/// z = -inf is an entry that is masked: it stays -inf.
template <typename Real>
DEADRAY_HOST_DEVICE Logit<Real> capped_logit(Real z, const LogitRule<Real>& rule) {
  const Real x = z * rule.inverse_cap, e = softmax_weight(Real{-2} * std::fabs(x)),
             sum = Real{1} + e;
  const bool masked = z == -std::numeric_limits<Real>::infinity();
  return {masked ? z : rule.soft_cap * std::tanh(x), Real{4} * quotient(e, sum * sum)};
}

/// Where a direction's entries lie: u_i = reference + scale * delta_i. FP32 keeps 24 bits of
/// delta_i, whatever the reference; its square neither overflows nor vanishes.
struct DirectionFrame {
  double reference, scale;

  DEADRAY_HOST_DEVICE double delta(double u) const { return (u - reference) / scale; }
  /// At most 2^40: its square, too, is an FP32 number.
  DEADRAY_HOST_DEVICE double ratio() const { return reference / scale; }
};

/// The reference is the mean, exact for a constant u; the scale the mean deviation from u_0.
/// @param sum, magnitudes  sums over the vocabulary of u_i - first and |u_i - first|, first = u_0
DEADRAY_HOST_DEVICE DirectionFrame direction_frame(double first, double sum, double magnitudes,
                                                   std::int64_t vocab) {
  const auto n = static_cast<double>(vocab);
  const double reference = first + sum / n, least = 0x1p-40 * std::fabs(reference),
               mean = magnitudes / n;
  const double scale = mean > least ? mean : least;
  return {reference, scale == 0.0 ? 1.0 : scale};
}

/// J_i / (logit scale * frame scale), where J_i is the derivative of logit i along a direction,
/// less the value that it has for u = reference with the champion's slope.
template <typename Real>
DEADRAY_HOST_DEVICE Real centred_derivative(Real delta, Real slope, Real champion_slope,
                                            Real ratio) {
  return slope * delta + (slope - champion_slope) * ratio;
}

/// Moments of one direction's derivatives under the softmax over a part of the vocabulary. Weights
/// are relative to exp(maximum); the mean is in units of the frame's scale, relative to its
/// reference.
struct SoftmaxMoments {
  double maximum = -std::numeric_limits<double>::infinity();
  RunningMoments moments;

  DEADRAY_HOST_DEVICE void merge(const SoftmaxMoments& other) {
    if (other.moments.count == 0.0) return;
    const bool rises = other.maximum > maximum;
    const double factor = softmax_weight(rises ? maximum - other.maximum : other.maximum - maximum);
    RunningMoments added = other.moments;
    moments.rescale(rises ? factor : 1.0);
    added.rescale(rises ? 1.0 : factor);
    moments.merge(added);
    if (rises) maximum = other.maximum;
  }

  /// Of the derivatives themselves; 0 where every entry is masked.
  DEADRAY_HOST_DEVICE double variance(double logit_scale, const DirectionFrame& frame) const {
    const double unit = logit_scale * frame.scale;
    return unit * unit * moments.variance();
  }
};

/// A piece of the vocabulary: the champion and, over all other entries, the sums of w, w D and
/// w D^2. Here w = exp(logit - champion's logit), and D is as centred_derivative gives it.
DEADRAY_HOST_DEVICE SoftmaxMoments piece_moments(const Logit<double>& champion,
                                                 double champion_delta, double ratio, double mass,
                                                 double first, double second) {
  SoftmaxMoments piece;
  piece.maximum = champion.value;
  if (champion.value > -std::numeric_limits<double>::infinity())
    piece.moments = {1.0, champion.slope * champion_delta, 0.0};
  if (mass != 0.0) {
    const double mean = first / mass, squares = second - first * mean;
    piece.moments.merge({mass, mean, squares < 0.0 ? 0.0 : squares});
  }
  piece.moments.mean += (champion.slope - 1.0) * ratio;
  return piece;
}

}  // namespace deadray::kernels
