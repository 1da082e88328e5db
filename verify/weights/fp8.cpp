#include "verify/weights/fp8.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "host/architecture/fit/quantisation.h"
#include "host/base/error.h"
#include "host/base/in_quotes.h"

namespace deadray {

namespace {

constexpr std::int64_t kBlock = 128;  // what every released checkpoint has

/// The value of each code. E4M3 has no infinity, and NaN for S.1111.111 alone; E5M2 is IEEE's.
std::array<float, 256> values_of(DType type) {
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  const bool e4m3 = type == DType::f8_e4m3;
  const int mantissa_bits = e4m3 ? 3 : 2, bias = e4m3 ? 7 : 15;
  const int ones = (1 << (7 - mantissa_bits)) - 1;
  std::array<float, 256> values{};
  for (int code = 0; code < 256; ++code) {
    const int exponent = (code & 0x7f) >> mantissa_bits;
    const int mantissa = code & ((1 << mantissa_bits) - 1);
    const int hidden = exponent == 0 ? 0 : 1 << mantissa_bits;
    float value = std::ldexp(static_cast<float>(hidden + mantissa),
                             (exponent == 0 ? 1 : exponent) - bias - mantissa_bits);
    if (e4m3 && (code & 0x7f) == 0x7f) value = kNaN;
    if (!e4m3 && exponent == ones)
      value = mantissa == 0 ? std::numeric_limits<float>::infinity() : kNaN;
    values[static_cast<std::size_t>(code)] = (code & 0x80) != 0 ? -value : value;
  }
  return values;
}

/// Elements of a block along one dimension; 0: the scale does not fit.
std::int64_t block_along(std::int64_t extent, std::int64_t scales) {
  if (scales == 1) return extent;
  if (scales == extent) return 1;
  return (extent + kBlock - 1) / kBlock == scales ? kBlock : 0;
}

}  // namespace

Fp8Weight::Fp8Weight(const Checkpoint& checkpoint, const TensorInfo& weight)
    : checkpoint_(checkpoint), weight_(weight) {
  const TensorInfo* scale = fp8_scale(checkpoint, weight);
  if (scale == nullptr) {
    checkpoint.require_plain_float(weight);  // says what is missing
    return;
  }
  const std::vector<double> wide = checkpoint.read_fp64(*scale);
  for (std::size_t i = 0; i < wide.size(); ++i)
    if (!std::isfinite(wide[i]) || wide[i] == 0.0)
      throw MalformedError(fmt::format(
          "{}: tensor {}: element {} is {}, expected a scale that is finite and not zero",
          checkpoint.files()[scale->file].string(), in_quotes(scale->name), i, wide[i]));
  scale_.assign(wide.begin(), wide.end());
  const auto& shape = weight.shape;
  std::vector<std::int64_t> scales = scale->shape;
  if (scale->elements() == 1) scales.assign(shape.size(), 1);
  if (scales.size() == 1 && shape.size() > 1 && scales[0] == shape[0])  // one for each row
    scales.resize(shape.size(), 1);
  bool fits = !shape.empty() && scales.size() == shape.size();
  if (fits) {
    columns_ = shape.back(), scale_columns_ = scales.back();
    block_columns_ = block_along(columns_, scale_columns_);
    if (shape.size() > 1) {
      rows_ = shape[shape.size() - 2], scale_rows_ = scales[shape.size() - 2];
      block_rows_ = block_along(rows_, scale_rows_);
    }
    for (std::size_t axis = 0; axis + 2 < shape.size(); ++axis)
      fits = fits && (scales[axis] == shape[axis] || scale_.size() == 1);
    fits = fits && block_rows_ > 0 && block_columns_ > 0;
  }
  if (!fits)
    throw MalformedError(
        fmt::format("{}: tensor {}: scale of shape [{}] for a weight of shape [{}], expected one "
                    "number for all, "
                    "for each row, or for each block of {}",
                    checkpoint.files()[scale->file].string(), in_quotes(scale->name),
                    fmt::join(scale->shape, ", "), fmt::join(shape, ", "), kBlock));
}

void Fp8Weight::read(std::int64_t first, std::int64_t count, float* out) const {
  const std::array<float, 256> values = values_of(weight_.dtype);
  std::vector<std::uint8_t> codes(static_cast<std::size_t>(count));
  checkpoint_.read(weight_, first, count, codes.data());
  const std::int64_t scales_of_matrix = scale_.size() == 1 ? 0 : scale_rows_ * scale_columns_;
  for (std::int64_t done = 0; done < count;) {
    const std::int64_t element = first + done, row = element / columns_,
                       column = element % columns_;
    const std::int64_t end = std::min(count, done + columns_ - column);  // of the row
    const float* scale = &scale_[static_cast<std::size_t>(
        row / rows_ * scales_of_matrix + row % rows_ / block_rows_ * scale_columns_)];
    for (std::int64_t i = done; i < end; ++i)
      out[i] =
          values[codes[static_cast<std::size_t>(i)]] * scale[(column + i - done) / block_columns_];
    done = end;
  }
}

}  // namespace deadray
