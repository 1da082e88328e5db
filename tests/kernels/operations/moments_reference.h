#pragma once

#include <cmath>
#include <vector>

#include "kernels/operations/centred_moments.h"
#include "tests/kernels/operations/norm_reference.h"

/// Plain moments in long double, and what their rounding is relative to.
namespace deadray::kernels {

struct Moments {
  /// gram is column-major, of which only the lower triangle is filled until it is finished.
  std::vector<double> sums, gram, mean;
};
inline Moments empty_moments(std::int64_t hidden_size) {
  const auto n = static_cast<std::size_t>(hidden_size);
  return {std::vector<double>(n), std::vector<double>(n * n), std::vector<double>(n)};
}

struct MomentsReference {
  /// gram has both triangles.
  std::vector<long double> sums, gram;
  /// sum_t s_ti^2, s = |gamma z| + 4 |gamma| + 2 |offset|: an output errs by (n/4 + 8) u s, see
  /// norm_recompute_test.cpp.
  std::vector<double> squares;
};
inline MomentsReference reference_moments(const TestRows& x, const TestNorm& norm) {
  const auto n = static_cast<std::size_t>(x.hidden_size);
  MomentsReference result{std::vector<long double>(n), std::vector<long double>(n * n),
                          std::vector<double>(n)};
  for (std::int64_t t = 0; t < x.n_tokens; ++t) {
    const std::vector<long double> h = reference_norm(x, norm, t);
    for (std::size_t i = 0; i < n; ++i) {
      const double offset = norm.offset(static_cast<std::int64_t>(i));
      result.sums[i] += h[i];
      result.squares[i] += std::pow(std::abs(static_cast<double>(h[i]) - offset) +
                                        4 * std::abs(norm.gamma[i]) + 2 * std::abs(offset),
                                    2);
      for (std::size_t j = 0; j < n; ++j) result.gram[j * n + i] += h[i] * h[j];
    }
  }
  return result;
}

/// What a sum over n_tokens products of two outputs errs by at most, in units of sqrt(squares_i
/// squares_j): both outputs' errors and a rounding each addition.
inline double product_bound(std::int64_t n_tokens, std::int64_t hidden_size) {
  return 0x1p-53 * (static_cast<double>(n_tokens) + static_cast<double>(hidden_size) / 2 + 32);
}

/// v^T C v of a finished covariance.
inline double quadratic_form(const std::vector<double>& c, const std::vector<double>& v) {
  long double sum = 0.0L;
  for (std::size_t j = 0; j < v.size(); ++j)
    for (std::size_t i = 0; i < v.size(); ++i)
      sum += static_cast<long double>(c[j * v.size() + i]) * v[i] * v[j];
  return static_cast<double>(sum);
}

inline std::vector<double> inverse_gamma(const TestNorm& norm) {
  std::vector<double> v;
  double square = 0.0;
  for (const double gamma : norm.gamma) v.push_back(1 / gamma), square += 1 / (gamma * gamma);
  for (double& component : v) component /= std::sqrt(square);
  return v;
}

/// What the rounding of C can make of v^T C v.
inline double quadratic_bound(const MomentsReference& reference, const std::vector<double>& v,
                              std::int64_t n_tokens) {
  double sum = 0.0;
  for (std::size_t i = 0; i < v.size(); ++i)
    sum += std::abs(v[i]) * std::sqrt(reference.squares[i] / static_cast<double>(n_tokens));
  return 2 * product_bound(n_tokens, static_cast<std::int64_t>(v.size())) * sum * sum;
}

}  // namespace deadray::kernels
