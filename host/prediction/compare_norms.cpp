#include "host/prediction/compare_norms.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace deadray {
namespace {

using Coordinates = std::vector<std::int64_t>;

/// Of the angle whose cosine and sine are to each other as these, neither below 0.
Alignment alignment_of(double cosine, double sine) {
  const double radius = std::hypot(cosine, sine);
  return {cosine / radius, sine / radius * (sine / (radius + cosine)), std::atan2(sine, cosine)};
}

/// Of two unit vectors, whatever their signs. By |u - v| and |u + v|, after Kahan: an arccos stops
/// resolving at 1e-8.
Alignment align(const std::vector<double>& u, const std::vector<double>& v) {
  double apart = 0.0, together = 0.0;
  for (std::size_t i = 0; i < u.size(); ++i) {
    apart += (u[i] - v[i]) * (u[i] - v[i]);
    together += (u[i] + v[i]) * (u[i] + v[i]);
  }
  return alignment_of(std::fabs(together - apart), 2.0 * std::sqrt(apart * together));
}

/// Of a unit vector and the span of coordinates.
Alignment align(const std::vector<double>& v, const Coordinates& coordinates) {
  double inside = 0.0, outside = 0.0;
  auto next = coordinates.begin();
  for (std::size_t i = 0; i < v.size(); ++i) {
    const bool is_in = next != coordinates.end() && *next == static_cast<std::int64_t>(i);
    if (is_in) ++next;
    (is_in ? inside : outside) += v[i] * v[i];
  }
  return alignment_of(std::sqrt(inside), std::sqrt(outside));
}

/// Of two spans of coordinates: they have 0 and pi/2 for principal angles, no others.
Alignment align(const Coordinates& one, const Coordinates& other) {
  const auto& [smaller, larger] =
      std::minmax(one, other, [](const auto& a, const auto& b) { return a.size() < b.size(); });
  const bool is_inside =
      std::includes(larger.begin(), larger.end(), smaller.begin(), smaller.end());
  return is_inside ? alignment_of(1.0, 0.0) : alignment_of(0.0, 1.0);
}

std::optional<Alignment> align(const DeadSubspace& first, const DeadSubspace& other) {
  if (first.dimension == 0 || other.dimension == 0) return std::nullopt;
  const bool has_coordinates = !first.coordinates.empty();
  if (has_coordinates && !other.coordinates.empty())
    return align(first.coordinates, other.coordinates);
  if (has_coordinates) return align(other.direction(), first.coordinates);
  if (!other.coordinates.empty()) return align(first.direction(), other.coordinates);
  return align(first.direction(), other.direction());
}

/// The exponent of the largest magnitude.
int exponent_of(std::span<const double> values) {
  double largest = 0.0;
  for (const double x : values) largest = std::max(largest, std::fabs(x));
  return std::ilogb(largest);
}

/// Scaled by powers of two, so that no square overflows and none that counts vanishes.
double relative_change(std::span<const double> first, std::span<const double> other) {
  const int first_exponent = exponent_of(first),
            common = std::max(first_exponent, exponent_of(other));
  double change = 0.0, square = 0.0;
  for (std::size_t i = 0; i < first.size(); ++i) {
    const double moved = std::ldexp(other[i], -common) - std::ldexp(first[i], -common),
                 x = std::ldexp(first[i], -first_exponent);
    change += moved * moved;
    square += x * x;
  }
  return std::ldexp(std::sqrt(change / square), common - first_exponent);
}

}  // namespace

NormChange compare_norms(std::span<const double> first_gamma, const DeadSubspace& first,
                         std::span<const double> gamma, const DeadSubspace& other) {
  return {align(first, other), relative_change(first_gamma, gamma)};
}

}  // namespace deadray
