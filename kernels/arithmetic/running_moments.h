#pragma once

#include <cstdint>

#include "kernels/arithmetic/host_device.h"

namespace deadray::kernels {

/// Count, mean, and sum of squared deviations from that mean. All zeros is the empty sample;
/// merging is exact up to rounding. Source: Chan, Golub, LeVeque, "Algorithms for computing the
/// sample variance", 1983.
struct RunningMoments {
  double count = 0.0, mean = 0.0, squares = 0.0;

  /// Divisor N; 0 for the empty sample, NaN for one that holds NaN.
  DEADRAY_HOST_DEVICE double variance() const { return count == 0.0 ? 0.0 : squares / count; }

  /// Every value counts `factor` times what it did.
  DEADRAY_HOST_DEVICE void rescale(double factor) {
    count *= factor;
    squares *= factor;
  }

  DEADRAY_HOST_DEVICE void merge(const RunningMoments& other) {
    if (other.count == 0.0) return;
    const double total = count + other.count, step = other.mean - mean;
    squares += other.squares + step * step * (count * other.count / total);
    mean += step * (other.count / total);
    count = total;
  }

  DEADRAY_HOST_DEVICE void add(double value) { merge({1.0, value, 0.0}); }
};

}  // namespace deadray::kernels
