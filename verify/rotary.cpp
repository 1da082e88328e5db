#include "verify/rotary.h"

#include <cmath>
#include <numbers>

namespace deadray {

namespace {

/// Llama 3.1: long wavelengths are slowed by `factor`, short ones kept, those between blended.
at::Tensor scale_llama3(const at::Tensor& frequency, const Rope& rope) {
  const double longest = static_cast<double>(rope.original_max_positions) / rope.low_frequency_factor;
  const double shortest = static_cast<double>(rope.original_max_positions) / rope.high_frequency_factor;
  const at::Tensor wavelength = 2.0 * std::numbers::pi / frequency;
  const at::Tensor smooth = (static_cast<double>(rope.original_max_positions) / wavelength - rope.low_frequency_factor) /
                            (rope.high_frequency_factor - rope.low_frequency_factor);
  const at::Tensor blended = (1.0 - smooth) * frequency / rope.factor + smooth * frequency;
  return at::where(wavelength > longest, frequency / rope.factor, at::where(wavelength < shortest, frequency, blended));
}

}  // namespace

RotaryTable rotary_table(const Rope& rope, std::int64_t length, at::ScalarType dtype) {
  const auto dims = static_cast<double>(rope.rotated_dims);
  at::Tensor frequency = 1.0 / at::pow(rope.theta, at::arange(0, rope.rotated_dims, 2, at::kFloat) / dims);
  if (rope.scaling == Rope::Scaling::linear) frequency = frequency / rope.factor;
  if (rope.scaling == Rope::Scaling::llama3) frequency = scale_llama3(frequency, rope);
  const at::Tensor angle = at::outer(at::arange(0, length, at::kFloat), frequency);
  return {angle.cos().to(dtype), angle.sin().to(dtype)};
}

at::Tensor rotate(const at::Tensor& x, const RotaryTable& table) {
  const std::int64_t half = table.cosine.size(1);
  const at::Tensor first = x.narrow(-1, 0, half), second = x.narrow(-1, half, half);
  std::vector<at::Tensor> parts = {first * table.cosine - second * table.sine, second * table.cosine + first * table.sine};
  if (x.size(-1) > 2 * half) parts.push_back(x.narrow(-1, 2 * half, x.size(-1) - 2 * half));
  return at::cat(parts, -1);
}

}  // namespace deadray
