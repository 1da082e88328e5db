#include "verify/layers/rotary.h"

#include <ATen/ATen.h>

#include <numbers>

namespace deadray {

namespace {

/// Llama 3.1: long wavelengths are slowed by `factor`, short ones kept, those between blended.
at::Tensor scale_llama3(const at::Tensor& frequency, const Rope& rope) {
  const auto positions = static_cast<double>(rope.original_max_positions);
  const double longest = positions / rope.low_frequency_factor;
  const double shortest = positions / rope.high_frequency_factor;
  const at::Tensor wavelength = 2.0 * std::numbers::pi / frequency;
  const at::Tensor smooth = (positions / wavelength - rope.low_frequency_factor) /
                            (rope.high_frequency_factor - rope.low_frequency_factor);
  const at::Tensor blended = (1.0 - smooth) * frequency / rope.factor + smooth * frequency;
  return at::where(wavelength > longest, frequency / rope.factor,
                   at::where(wavelength < shortest, frequency, blended));
}

/// Angular frequency of each pair, [rotated_dims / 2].
at::Tensor frequencies(const Rope& rope) {
  const auto dims = static_cast<double>(rope.rotated_dims);
  at::Tensor frequency =
      1.0 / at::pow(rope.theta, at::arange(0, rope.rotated_dims, 2, at::kFloat) / dims);
  switch (rope.scaling) {
    case Rope::Scaling::none:
      return frequency;
    case Rope::Scaling::linear:
      return frequency / rope.factor;
    case Rope::Scaling::llama3:
      return scale_llama3(frequency, rope);
    case Rope::Scaling::proportional:
      frequency.narrow(0, rope.turning_pairs, frequency.size(0) - rope.turning_pairs).zero_();
      return frequency;
  }
  return frequency;
}

/// One value for each pair to one for each dimension, [..., R/2] -> [..., R]. A pair's members get
/// the value times `first` and times `second`.
at::Tensor spread(const at::Tensor& value, Rope::Pairing pairing, double first, double second) {
  switch (pairing) {
    case Rope::Pairing::half_split:
      return at::cat({value * first, value * second}, -1);
    case Rope::Pairing::interleaved:
      return at::stack({value * first, value * second}, -1).flatten(-2);
    case Rope::Pairing::tiled_interleaved: {
      at::Tensor tiled = at::cat({value, value}, -1);
      return (tiled.unflatten(-1, {-1, 2}) * at::tensor({first, second}, value.options()))
          .flatten(-2);
    }
  }
  return value;
}

}  // namespace

RotaryTable rotary_table(const Rope& rope, const at::Tensor& coordinates, at::ScalarType dtype) {
  const at::Tensor angle = coordinates.unsqueeze(-1) * frequencies(rope);  // [..., axes, R/2]
  return {spread(angle.cos(), rope.pairing, 1.0, 1.0).flatten(-2).to(dtype),
          spread(angle.sin(), rope.pairing, -1.0, 1.0).flatten(-2).to(dtype), rope.pairing,
          rope.axes};
}

at::Tensor rotate(const at::Tensor& x, const RotaryTable& table) {
  const std::int64_t turned = table.cosine.size(-1), rest = x.size(-1) - turned;
  const at::Tensor part = x.narrow(-1, 0, turned);
  const std::int64_t half = turned / table.axes / 2;
  const at::Tensor partner = table.pairing == Rope::Pairing::half_split
                                 ? part.unflatten(-1, {table.axes, 2, half}).flip(-2).flatten(-3)
                                 : part.unflatten(-1, {-1, 2}).flip(-1).flatten(-2);
  const at::Tensor rotated = at::addcmul(part * table.cosine, partner, table.sine);
  return rest == 0 ? rotated : at::cat({rotated, x.narrow(-1, turned, rest)}, -1);
}

}  // namespace deadray
