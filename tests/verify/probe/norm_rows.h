#pragma once

#include <gtest/gtest.h>

#include "tests/verify/spectrum/spectra.h"
#include "verify/numerics/moments.h"
#include "verify/probe/comparison.h"
#include "verify/probe/verdict.h"

/// Rows of a norm's output, and what measuring them gives, for the tests of readings and verdicts.
namespace deadray::testing {

inline constexpr auto kLayerNorm = NormKind::layernorm;
inline constexpr auto kRmsNorm = NormKind::rmsnorm;
inline constexpr Method kSpectral[] = {Method::eigh, Method::certificate};

/// What the executor would hand over for the rows h of a norm's output.
inline Measured measure(const at::Tensor& h, const DeadSubspace& predicted,
                        const at::Tensor& shift = {}) {
  const auto d = h.size(1);
  CentredMoments moments(d, shift);
  moments.add(h);
  Measured measured{.tokens = h.size(0), .hidden_size = d, .covariance = moments.covariance()};
  const at::Tensor basis = basis_of(predicted, d);
  const auto project = [&](const at::Tensor& directions) {
    DirectionalMoments projected(directions, shift);
    projected.add(h);
    return projected.variance();
  };
  if (predicted.dimension > 0) {
    measured.basis_variance = project(basis.t());
  } else if (!predicted.inverse.empty()) {
    measured.basis_variance = project(tensor_of(predicted.direction()).unsqueeze(0));
  }
  const at::Tensor random = gaussian(16, d, 99);
  measured.random_variances = project(random / random.norm(2, {1}, true));
  return measured;
}

inline Judgement judged(Method method, NormKind kind, const at::Tensor& h,
                        const DeadSubspace& predicted, const at::Tensor& shift = {}) {
  return judge(method, kind, predicted, read(method, predicted, measure(h, predicted, shift)));
}

/// The same with a second look at the scaled covariance where the first leaves it open.
inline Judgement judged_closely(Method method, NormKind kind, const at::Tensor& h,
                                const DeadSubspace& predicted, const at::Tensor& shift = {}) {
  const Measured measured = measure(h, predicted, shift);
  Reading reading = read(method, predicted, measured);
  EXPECT_TRUE(is_open(method, predicted, reading)) << "the plain spectrum is to leave it open";
  add_scaled_reading(method, predicted, measured, reading);
  return judge(method, kind, predicted, reading);
}

/// A LayerNorm with gamma of mixed signs and its activations.
struct LayerNormCase {
  std::int64_t d = 48, n = 600;
  at::Tensor gamma = gaussian(1, d, 31).squeeze(0), beta = gaussian(1, d, 32).squeeze(0),
             x = gaussian(n, d, 33) * 3 + 1;
  at::Tensor h() const { return normalised(x) * gamma + beta; }
};

}  // namespace deadray::testing
