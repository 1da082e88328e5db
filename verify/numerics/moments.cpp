#include "verify/numerics/moments.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "host/base/error.h"
#include "verify/base/side_by_side.h"
#include "verify/base/tensors.h"

namespace deadray {
namespace {

constexpr std::int64_t kRowsPerBlock = 2048;  // bounds the FP64 copy of a tile
/// Columns of one product: wide enough to be fast, narrow enough to skip most of the other
/// triangle.
std::int64_t panel_width(std::int64_t d) { return d < 2048 ? 128 : 256; }

void expect_rows(const at::Tensor& rows, std::int64_t hidden_size) {
  if (rows.dim() != 2 || rows.size(1) != hidden_size)
    throw InternalError(fmt::format("moments: rows of shape {} but expected [n, {}]",
                                    c10::str(rows.sizes()), hidden_size));
}

/// Calls body(first column, width) for each panel of columns, side by side on the CPU.
template <class Body>
void for_each_panel(const at::Tensor& matrix, Body body) {
  const std::int64_t d = matrix.size(0), width = panel_width(d), n = (d + width - 1) / width;
  const auto panel = [&](std::int64_t i) { body(i * width, std::min(width, d - i * width)); };
  if (matrix.is_cpu()) return run_side_by_side(n, panel);
  for (std::int64_t i = 0; i < n; ++i) panel(i);
}

/// Upper triangle of gram += x^T x at half the flops; what lies below the diagonal panels is not
/// touched.
void add_gram(const at::Tensor& gram, const at::Tensor& x) {
  const auto d = gram.size(0);
  for_each_panel(gram, [&](std::int64_t begin, std::int64_t width) {
    gram.narrow(0, begin, width)
        .narrow(1, begin, d - begin)
        .addmm_(x.narrow(1, begin, width).t(), x.narrow(1, begin, d - begin));
  });
}

/// Rows less the mean of their columns, in FP64.
struct Centred {
  at::Tensor rows, mean;
};

/// The mean is taken relative to the first row, so that equal numbers have exactly their own mean:
/// a sum of equal numbers would round.
Centred centre(const at::Tensor& rows) {
  const at::Tensor first = rows[0].to(fp64());
  at::Tensor x = at::sub(rows, first);  // a copy, in FP64
  const at::Tensor offset = x.mean(0);
  x.sub_(offset);
  return {x, first + offset};
}

bool is_zero(const at::Tensor& values) {
  return at::count_nonzero(values).item<std::int64_t>() == 0;
}

}  // namespace

void mirror_upper(const at::Tensor& matrix) {
  for_each_panel(matrix, [&](std::int64_t begin, std::int64_t width) {
    const auto rows = matrix.narrow(0, begin, width), diagonal = rows.narrow(1, begin, width);
    rows.narrow(1, 0, begin).copy_(matrix.narrow(0, 0, begin).narrow(1, begin, width).t());
    diagonal.copy_(diagonal.triu() + diagonal.triu(1).t());
  });
}

namespace {

/// Sums over `count` rows, made means in place.
at::Tensor divided(at::Tensor sums, std::int64_t count) {
  sums.div_(static_cast<double>(std::max<std::int64_t>(count, 1)));
  mirror_upper(sums);
  return sums;
}

}  // namespace

CentredMoments::CentredMoments(std::int64_t hidden_size, at::Tensor shift)
    : hidden_size_(hidden_size),
      mean_(at::zeros({hidden_size}, fp64())),
      squares_(at::zeros({hidden_size, hidden_size}, fp64())) {
  if (shift.defined()) shift_ = shift.to(fp64()).reshape({hidden_size});
}

void CentredMoments::add(const at::Tensor& rows) {
  expect_rows(rows, hidden_size_);
  for (std::int64_t begin = 0; begin < rows.size(0); begin += kRowsPerBlock) {
    const auto n = std::min(kRowsPerBlock, rows.size(0) - begin);
    const auto [tile, mean] = centre(rows.narrow(0, begin, n));
    if (!shift_.defined()) shift_ = mean.clone();
    include(n, mean - shift_);
    add_gram(squares_, tile);
  }
}

void CentredMoments::merge(const CentredMoments& other) {
  expect_rows(other.squares_, hidden_size_);
  if (other.count_ == 0) return;
  if (!shift_.defined()) shift_ = other.shift_.clone();
  include(other.count_, other.mean_ + (other.shift_ - shift_));
  squares_.add_(other.squares_);
}

/// Chan, Golub and LeVeque's update of the mean, and what it moves between the squares.
void CentredMoments::include(std::int64_t n, const at::Tensor& mean) {
  const double total = static_cast<double>(count_ + n);
  const at::Tensor step = mean - mean_;
  if (count_ > 0)
    squares_.addr_(step, step, 1, static_cast<double>(count_) * static_cast<double>(n) / total);
  mean_.add_(step, static_cast<double>(n) / total);
  count_ += n;
}

at::Tensor CentredMoments::mean() const {
  return shift_.defined() ? shift_ + mean_ : mean_.clone();
}

at::Tensor CentredMoments::covariance() const { return divided(squares_.clone(), count_); }

at::Tensor CentredMoments::take_covariance() {
  return divided(std::exchange(squares_, {}), count_);
}

at::Tensor CentredMoments::second_moment() const {
  const at::Tensor m = mean();
  return covariance().addr_(m, m);
}

DirectionalMoments::DirectionalMoments(at::Tensor directions, at::Tensor shift)
    : directions_(directions.to(fp64())),
      mean_(at::zeros({directions.size(0)}, fp64())),
      squares_(at::zeros({directions.size(0)}, fp64())) {
  if (!shift.defined()) return;
  shift_ = shift.to(fp64()).reshape({directions.size(1)});
  shift_is_zero_ = is_zero(shift_);
}

void DirectionalMoments::add(const at::Tensor& rows) {
  expect_rows(rows, directions_.size(1));
  for (std::int64_t begin = 0; begin < rows.size(0); begin += kRowsPerBlock) {
    const auto n = std::min(kRowsPerBlock, rows.size(0) - begin);
    const at::Tensor tile = rows.narrow(0, begin, n);
    if (!shift_.defined()) shift_ = tile.to(fp64()).mean(0);
    const at::Tensor shifted = shift_is_zero_ ? tile.to(fp64()) : at::sub(tile, shift_);
    const auto [projected, mean] = centre(shifted.mm(directions_.t()));
    const at::Tensor step = mean - mean_;
    const double before = static_cast<double>(count_), total = before + static_cast<double>(n);
    squares_.add_(projected.square().sum(0))
        .addcmul_(step, step, before * static_cast<double>(n) / total);
    mean_.add_(step, static_cast<double>(n) / total);
    count_ += n;
  }
}

at::Tensor DirectionalMoments::mean() const { return mean_.clone(); }

at::Tensor DirectionalMoments::variance() const {
  return squares_ / static_cast<double>(std::max<std::int64_t>(count_, 1));
}

}  // namespace deadray
