#pragma once

#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/operations/norm_recompute.h"
#include "kernels/operations/random_normal.h"

/// Rows, norms and a plain long double norm for the tests; shares no arithmetic with what it
/// judges.
namespace deadray::kernels {

/// Rows that own their elements, in any of the types; value() is what the type keeps of what was
/// set.
struct TestRows {
  ElementType type;
  std::int64_t n_tokens, hidden_size, row_stride;
  std::vector<double> float64;
  std::vector<float> float32;
  std::vector<std::uint16_t> bfloat16;

  TestRows(ElementType element_type, std::int64_t rows, std::int64_t columns, std::int64_t stride)
      : type(element_type), n_tokens(rows), hidden_size(columns), row_stride(stride) {
    const auto size = static_cast<std::size_t>(n_tokens * row_stride);
    // What fills the gaps between rows must not be read.
    if (type == ElementType::float64) float64.assign(size, 1e300);
    if (type == ElementType::float32) float32.assign(size, 1e38f);
    if (type == ElementType::bfloat16) bfloat16.assign(size, 0x7f00);
  }

  void set(std::int64_t t, std::int64_t i, double value) {
    const auto at = static_cast<std::size_t>(t * row_stride + i);
    const auto narrow = static_cast<float>(value);
    if (type == ElementType::float64) float64[at] = value;
    if (type == ElementType::float32) float32[at] = narrow;
    if (type == ElementType::bfloat16) {
      std::uint32_t bits;
      std::memcpy(&bits, &narrow, sizeof bits);
      bfloat16[at] = static_cast<std::uint16_t>(bits >> 16);
    }
  }

  double value(std::int64_t t, std::int64_t i) const {
    const auto at = static_cast<std::size_t>(t * row_stride + i);
    if (type == ElementType::float64) return float64[at];
    if (type == ElementType::float32) return float32[at];
    const double sign = bfloat16[at] & 0x8000 ? -1.0 : 1.0;
    const int exponent = bfloat16[at] >> 7 & 0xff, mantissa = bfloat16[at] & 0x7f;
    return sign * (exponent == 0 ? std::ldexp(mantissa, -133)
                                 : std::ldexp(128 + mantissa, exponent - 134));
  }

  TestRows with_stride(std::int64_t stride) const {
    TestRows rows(type, n_tokens, hidden_size, stride);
    for (std::int64_t t = 0; t < n_tokens; ++t) {
      for (std::int64_t i = 0; i < hidden_size; ++i) rows.set(t, i, value(t, i));
    }
    return rows;
  }

  Rows view() const {
    const void* data = type == ElementType::float64   ? static_cast<const void*>(float64.data())
                       : type == ElementType::float32 ? static_cast<const void*>(float32.data())
                                                      : bfloat16.data();
    return {data, type, n_tokens, hidden_size, row_stride};
  }
};

inline std::vector<float> normals(std::uint64_t stream, std::int64_t count) {
  std::vector<float> values(static_cast<std::size_t>(count));
  random_normal(7, stream, 0, count, 1.0f, values.data());
  return values;
}

/// Independent normals, scale * N(mean, 1).
inline TestRows gaussian_rows(std::int64_t n_tokens, std::int64_t hidden_size, ElementType type,
                              double scale, double mean) {
  TestRows rows(type, n_tokens, hidden_size, hidden_size);
  const std::vector<float> values = normals(1, n_tokens * hidden_size);
  for (std::int64_t t = 0; t < n_tokens; ++t) {
    for (std::int64_t i = 0; i < hidden_size; ++i)
      rows.set(t, i, scale * (values[static_cast<std::size_t>(t * hidden_size + i)] + mean));
  }
  return rows;
}

struct TestNorm {
  NormType type = NormType::layernorm;
  double eps = 0.0;
  std::vector<double> gamma, beta, shift;

  NormArguments arguments() const { return {type, gamma.data(), beta.data(), shift.data(), eps}; }
  double offset(std::int64_t i) const {
    return beta[static_cast<std::size_t>(i)] - shift[static_cast<std::size_t>(i)];
  }
  TestNorm without_offset() const {
    TestNorm norm = *this;
    norm.beta.assign(gamma.size(), 0.0), norm.shift = norm.beta;
    return norm;
  }
};

/// gamma of both signs, 0.5 to about 3 in magnitude; beta and shift normal.
inline TestNorm random_norm(NormType type, std::int64_t hidden_size, double eps) {
  TestNorm norm;
  norm.type = type, norm.eps = eps;
  for (const float x : normals(2, hidden_size)) norm.gamma.push_back(x + (x < 0 ? -0.5 : 0.5));
  for (const float x : normals(3, hidden_size)) norm.beta.push_back(x);
  for (const float x : normals(4, hidden_size)) norm.shift.push_back(0.1 * x);
  return norm;
}

inline std::vector<double> recompute(const TestRows& x, const TestNorm& norm) {
  std::vector<double> out(static_cast<std::size_t>(x.n_tokens * x.hidden_size));
  norm_recompute(x.view(), norm.arguments(), out.data());
  return out;
}

/// One row's norm by the definition, in long double: 64 bits of significand, an exponent that
/// squares of 1e±140 do not leave.
inline std::vector<long double> reference_norm(const TestRows& x, const TestNorm& norm,
                                               std::int64_t t) {
  const auto n = static_cast<long double>(x.hidden_size);
  long double mean = 0.0L, square = 0.0L;
  if (norm.type == NormType::layernorm) {
    for (std::int64_t i = 0; i < x.hidden_size; ++i) mean += x.value(t, i) / n;
  }
  for (std::int64_t i = 0; i < x.hidden_size; ++i)
    square += (x.value(t, i) - mean) * (x.value(t, i) - mean) / n;
  const long double root = std::sqrt(square + norm.eps);
  std::vector<long double> out;
  for (std::int64_t i = 0; i < x.hidden_size; ++i) {
    const long double z = root > 0.0L ? (x.value(t, i) - mean) / root : 0.0L;
    out.push_back(norm.gamma[static_cast<std::size_t>(i)] * z +
                  (static_cast<long double>(norm.beta[static_cast<std::size_t>(i)]) -
                   norm.shift[static_cast<std::size_t>(i)]));
  }
  return out;
}

}  // namespace deadray::kernels
