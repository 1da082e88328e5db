#include "verify/flat/move.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "kernels/operations/random_normal.h"

namespace deadray::flat {
namespace {

at::Tensor within(const at::Tensor& m, int axis, const Range& range) {
  const std::int64_t count = range.count < 0 ? m.size(axis) - range.first : range.count;
  return m.narrow(axis, range.first, count);
}

at::Tensor shift_of(const Change& change, const at::Tensor& m) {
  if (change.random) return change.random.draw(0, m.size(0), m.size(1));
  return change.across.defined() ? change.shift * change.across : change.shift;
}

}  // namespace

at::Tensor RandomShift::draw(std::int64_t first, std::int64_t rows, std::int64_t columns) const {
  const at::Tensor drawn = at::empty({rows, columns}, at::kFloat);
  kernels::random_normal(seed, kernels::stream_of(name), first * columns, drawn.numel(), 1.0F,
                         drawn.data_ptr<float>());
  return drawn.to(at::kDouble).mul_(deviation);
}

at::Tensor Place::of(const at::Tensor& stored) const {
  const std::int64_t last = stored.dim() > 0 ? stored.size(-1) : 1;
  at::Tensor m = view == View::rows ? stored.view({-1, last})
                                    : stored.view({stored.dim() > 0 ? stored.size(0) : 1, -1});
  if (view == View::transposed) m = m.t();
  return within(within(m, 0, rows), 1, columns);
}

bool Move::is_group() const {
  return std::any_of(changes.begin(), changes.end(),
                     [](const Change& change) { return change.is_group(); });
}

double Move::time_of(double size) const { return is_group() ? std::log1p(size) : size; }

std::int64_t Move::entry(std::int64_t n_blocks) const {
  std::int64_t first = n_blocks;
  for (const Change& change : changes)
    if (!change.place.is_end) first = std::min(first, change.place.block);
  return first;
}

void apply(const Change& change, double t, const at::Tensor& m) {
  const double offset = change.place.offset;
  if (change.is_group()) {
    at::Tensor moved = offset == 0.0 ? m : m + offset;
    if (change.left) moved = change.left.times(t, moved);
    if (change.right) moved = change.right.after(t, moved);
    m.copy_(offset == 0.0 ? moved : moved - offset);
  } else {
    m.add_(shift_of(change, m), t / (1.0 + change.curvature * t));
  }
}

at::Tensor velocity(const Change& change, double t, const at::Tensor& m) {
  if (!change.is_group()) {
    const double bend = 1.0 + change.curvature * t;
    return shift_of(change, m).expand_as(m) / (bend * bend);
  }
  const at::Tensor whole = change.place.offset == 0.0 ? m : m + change.place.offset;
  at::Tensor rate = at::zeros_like(m);
  if (change.left) rate.add_(change.left.rate_times(whole));
  if (change.right) rate.add_(change.right.rate_after(whole));
  return rate;
}

}  // namespace deadray::flat
