#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/operations/head_fisher.h"
#include "tests/kernels/operations/norm_reference.h"

/// Heads for the tests and their directional Fisher by the definition, in long double; shares no
/// arithmetic with what it judges.
namespace deadray::kernels {

struct TestHead {
  TestRows hidden, weight;
  std::vector<double> bias;  // empty: none
  double scale = 1.0, soft_cap = 0.0;
  std::vector<double> directions;  // [n_directions, vocab]

  std::int64_t n_tokens() const { return hidden.n_tokens; }
  std::int64_t vocab() const { return weight.n_tokens; }
  std::int64_t n_directions() const {
    return static_cast<std::int64_t>(directions.size()) / vocab();
  }
  LogitArguments arguments() const {
    return {bias.empty() ? nullptr : bias.data(), scale, soft_cap};
  }
};

inline std::vector<double> normal_directions(std::int64_t count, std::int64_t vocab) {
  const std::vector<float> values = normals(11, count * vocab);
  return {values.begin(), values.end()};
}

/// Logits W h of deviation 2, a bias of deviation 1; the parts of the rule are for the test to add.
inline TestHead random_head(std::int64_t n_tokens, std::int64_t hidden_size, std::int64_t vocab,
                            std::int64_t n_directions, ElementType type) {
  TestHead head{gaussian_rows(n_tokens, hidden_size, type, 1.0, 0.1),
                TestRows(type, vocab, hidden_size, hidden_size),
                {},
                1.0,
                0.0,
                normal_directions(n_directions, vocab)};
  const std::vector<float> values = normals(12, vocab * hidden_size);
  for (std::int64_t i = 0; i < vocab * hidden_size; ++i) {
    head.weight.set(
        i / hidden_size, i % hidden_size,
        2.0 * values[static_cast<std::size_t>(i)] / std::sqrt(static_cast<double>(hidden_size)));
  }
  return head;
}

inline std::vector<double> random_bias(std::int64_t vocab) {
  const std::vector<float> values = normals(13, vocab);
  return {values.begin(), values.end()};
}

/// What the variance is and what its errors are relative to.
struct ReferenceFisher {
  double variance = 0.0;
  /// Second moment of the derivatives about the value that they have at the mean of u with the
  /// likeliest entry's slope.
  double square = 0.0;
  /// Root of the second moment of the derivatives themselves.
  double magnitude = 0.0;
  /// Largest scale * (sum_i |w_i h_i| + |bias|) of a logit.
  double size = 0.0;
};

/// What the rows' type holds, [n_tokens, hidden_size].
inline std::vector<double> values_of(const TestRows& rows) {
  std::vector<double> values;
  for (std::int64_t t = 0; t < rows.n_tokens; ++t)
    for (std::int64_t i = 0; i < rows.hidden_size; ++i) values.push_back(rows.value(t, i));
  return values;
}

/// For one token: of each direction.
inline std::vector<ReferenceFisher> reference_fisher(const TestHead& head, const double* hidden,
                                                     const std::vector<double>& weight) {
  const auto vocab = static_cast<std::size_t>(head.vocab());
  std::vector<long double> logits(vocab), slopes(vocab, 1.0L), p(vocab);
  double size = 0.0;
  for (std::size_t i = 0; i < vocab; ++i) {
    long double product = 0.0L, magnitude = 0.0L;
    const auto d = static_cast<std::size_t>(head.hidden.hidden_size);
    for (std::size_t j = 0; j < d; ++j) {
      const long double term = static_cast<long double>(hidden[j]) * weight[i * d + j];
      product += term, magnitude += std::fabs(term);
    }
    const long double bias = head.bias.empty() ? 0.0L : head.bias[i];
    logits[i] = head.scale * (product + bias);
    if (!std::isinf(bias))
      size = std::max(size, static_cast<double>(head.scale * (magnitude + std::fabs(bias))));
    if (head.soft_cap > 0.0 && !std::isinf(logits[i])) {
      const long double x = logits[i] / head.soft_cap;
      logits[i] = head.soft_cap * std::tanh(x);
      slopes[i] = 1.0L / (std::cosh(x) * std::cosh(x));
    }
  }
  const auto best =
      static_cast<std::size_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  const long double maximum = logits[best];
  long double normaliser = 0.0L;
  for (const long double logit : logits) normaliser += std::exp(logit - maximum);
  for (std::size_t i = 0; i < vocab; ++i) p[i] = std::exp(logits[i] - maximum) / normaliser;
  std::vector<ReferenceFisher> results;
  for (std::int64_t k = 0; k < head.n_directions(); ++k) {
    const double* u = head.directions.data() + k * head.vocab();
    long double mean = 0.0L, centre = 0.0L, variance = 0.0L, square = 0.0L, magnitude = 0.0L;
    for (std::size_t i = 0; i < vocab; ++i) {
      mean += p[i] * slopes[i] * u[i];
      centre += slopes[best] * u[i] / vocab;
    }
    for (std::size_t i = 0; i < vocab; ++i) {
      const long double j = slopes[i] * u[i];
      variance += p[i] * (j - mean) * (j - mean);
      square += p[i] * (j - centre) * (j - centre);
      magnitude += p[i] * j * j;
    }
    const long double unit = static_cast<long double>(head.scale) * head.scale;
    results.push_back({static_cast<double>(unit * variance), static_cast<double>(unit * square),
                       static_cast<double>(head.scale * std::sqrt(magnitude)), size});
  }
  return results;
}

/// [n_tokens][n_directions]
inline std::vector<std::vector<ReferenceFisher>> reference_fisher(const TestHead& head) {
  const std::vector<double> hidden = values_of(head.hidden), weight = values_of(head.weight);
  std::vector<std::vector<ReferenceFisher>> results;
  for (std::int64_t t = 0; t < head.n_tokens(); ++t)
    results.push_back(reference_fisher(head, hidden.data() + t * head.hidden.hidden_size, weight));
  return results;
}

/// How far a result may be from the reference when every logit errs by at most `logit_error` = e,
/// and sums and derivatives by `rounding` relatively.
/// - The variance is the least of sum_i p_i (J_i - c)^2 over c. So logits that err by e change it
/// by
///   a factor within exp(2 e), which 1 + 1.1 * 2 e covers for e < 0.1.
/// - A cap makes each J err by up to 2 e / cap of itself, which moves the deviation by as much of
///   their root mean square.
/// - Sums about a centre err relatively to the second moment about it.
inline double fisher_bound(const TestHead& head, const ReferenceFisher& want, double logit_error,
                           double rounding) {
  const double shift =
      head.soft_cap > 0.0 ? (2 * logit_error / head.soft_cap + rounding) * want.magnitude : 0.0;
  return 2.2 * logit_error * want.variance + 2 * std::sqrt(want.variance) * shift + shift * shift +
         rounding * want.square;
}

/// The parts of the rule that turns products into logits: each alone, and all together.
enum class Rule { plain, bias, scale, soft_cap, all };
inline void apply(Rule rule, TestHead& head) {
  if (rule == Rule::bias || rule == Rule::all) head.bias = random_bias(head.vocab());
  if (rule == Rule::scale || rule == Rule::all) head.scale = 0.375;
  if (rule == Rule::soft_cap || rule == Rule::all) head.soft_cap = 3.0;
}

}  // namespace deadray::kernels
