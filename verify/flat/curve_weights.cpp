#include "verify/flat/curve_weights.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "host/base/error.h"
#include "kernels/operations/random_normal.h"
#include "verify/base/tensors.h"

namespace deadray::flat {
namespace {

ChangesByName by_name(const Weights& weights, const Move& move) {
  ChangesByName all;
  for (const Change& change : move.changes)
    all[weights.name(change.place.spec.name, change.place.block)].push_back(&change);
  return all;
}

/// Calls f(FP64 copy on the CPU) and writes the copy back.
template <class F>
void in_fp64(at::Tensor out, F&& f) {
  at::Tensor wide = out.to(at::kCPU, at::kDouble, /*non_blocking=*/false, /*copy=*/true);
  f(wide);
  out.copy_(wide);
}

/// The rows `ids` of S, all of them the place's.
at::Tensor rows_of_shift(const Change& change, const at::Tensor& ids, std::int64_t columns) {
  const at::Tensor rows = at::zeros({ids.numel(), columns}, fp64());
  for (std::int64_t i = 0; i < ids.numel(); ++i) {
    const std::int64_t row = ids[i].item<std::int64_t>() - change.place.rows.first;
    rows[i].copy_(change.random ? change.random.draw(row, 1, columns)[0]
                                : change.shift[change.shift.size(0) == 1 ? 0 : row]);
  }
  if (change.across.defined()) rows.mul_(change.across);
  return rows;
}

/// The change as it meets rows `ids` of its place alone.
Change of_rows(const Change& change, const at::Tensor& ids, std::int64_t columns) {
  if (change.left || change.place.view == Place::View::transposed)
    throw InternalError(fmt::format("'{}' moves as a whole: its rows cannot be read alone",
                                    change.place.spec.name));
  Change part = change;
  part.place.rows = {};
  if (change.is_group()) return part;
  part.random = {};
  part.across = at::Tensor();
  part.shift = rows_of_shift(change, ids, columns);
  return part;
}

/// Of the rows that are read, those that a change moves.
struct MovedRows {
  at::Tensor which;  ///< [moved], places among the rows that are read
  Change change;     ///< as it meets them alone
};

std::optional<MovedRows> moved_rows(const Change& change, const at::Tensor& ids,
                                    std::int64_t columns) {
  const auto [first, count] = change.place.rows;
  at::Tensor inside = ids.ge(first);
  if (count >= 0) inside = inside.logical_and(ids.lt(first + count));
  const at::Tensor which = inside.nonzero().squeeze(1);
  if (which.numel() == 0) return std::nullopt;
  return MovedRows{which, of_rows(change, ids.index_select(0, which), columns)};
}

}  // namespace

at::Tensor random_numbers(std::uint64_t seed, const std::string& name, at::IntArrayRef shape) {
  const at::Tensor drawn = at::empty(shape, at::kFloat);
  kernels::random_normal(seed, kernels::stream_of("flat/" + name), 0, drawn.numel(), 1.0F,
                         drawn.data_ptr<float>());
  return drawn.to(at::kDouble);
}

at::Tensor load_place(const Weights& weights, const Place& place) {
  const at::Tensor stored = weights.load(place.spec, place.block, at::kDouble).cpu();
  return place.of(stored).clone();
}

WeightsOnCurve::WeightsOnCurve(const Weights& base, const Move& move, double t)
    : WeightsView(base), changes_(by_name(base, move)), t_(t) {}

void WeightsOnCurve::read(const TensorSpec& spec, std::int64_t block, at::Tensor out) const {
  base_.read(spec, block, out);
  const auto found = changes_.find(name(spec.name, block));
  if (found == changes_.end()) return;
  in_fp64(out, [&](const at::Tensor& stored) {
    for (const Change* change : found->second) apply(*change, t_, change->place.of(stored));
  });
}

void WeightsOnCurve::read_rows(const TensorSpec& spec, const at::Tensor& ids,
                               at::Tensor out) const {
  base_.read_rows(spec, ids, out);
  const auto found = changes_.find(name(spec.name));
  if (found == changes_.end()) return;
  in_fp64(out, [&](const at::Tensor& rows) {
    for (const Change* change : found->second)
      if (const auto moved = moved_rows(*change, ids.cpu(), rows.size(-1))) {
        const at::Tensor part = rows.index_select(0, moved->which);
        apply(moved->change, t_, moved->change.place.of(part));
        rows.index_copy_(0, moved->which, part);
      }
  });
}

CurveVelocity::CurveVelocity(const Weights& at_t, const Move& move, double t)
    : WeightsView(at_t), changes_(by_name(at_t, move)), t_(t) {}

bool CurveVelocity::moves(const TensorSpec& spec, std::int64_t block) const {
  return changes_.contains(name(spec.name, block));
}

void CurveVelocity::read(const TensorSpec& spec, std::int64_t block, at::Tensor out) const {
  const auto found = changes_.find(name(spec.name, block));
  if (found == changes_.end()) return void(out.zero_());
  base_.read(spec, block, out);
  in_fp64(out, [&](const at::Tensor& stored) {
    const at::Tensor rate = at::zeros_like(stored);
    for (const Change* change : found->second)
      change->place.of(rate).add_(velocity(*change, t_, change->place.of(stored)));
    stored.copy_(rate);
  });
}

void CurveVelocity::read_rows(const TensorSpec& spec, const at::Tensor& ids, at::Tensor out) const {
  const auto found = changes_.find(name(spec.name));
  if (found == changes_.end()) return void(out.zero_());
  base_.read_rows(spec, ids, out);
  in_fp64(out, [&](const at::Tensor& rows) {
    const at::Tensor rate = at::zeros_like(rows);
    for (const Change* change : found->second)
      if (const auto moved = moved_rows(*change, ids.cpu(), rows.size(-1))) {
        const at::Tensor part = rows.index_select(0, moved->which), of_part = at::zeros_like(part);
        const Place& place = moved->change.place;
        place.of(of_part).copy_(velocity(moved->change, t_, place.of(part)));
        rate.index_add_(0, moved->which, of_part);
      }
    rows.copy_(rate);
  });
}

double unit_of(const Move& move, const Weights& weights) {
  if (move.is_group()) return 1.0;
  double size = 0, tangent = 0, curvature = 0;
  for (const Change& change : move.changes) {
    const at::Tensor m = load_place(weights, change.place);
    size = std::hypot(size, m.norm().item<double>());
    tangent = std::hypot(tangent, velocity(change, 0, m).norm().item<double>());
    curvature = std::max(curvature, change.curvature);
  }
  const double unit = size > 0 ? size / tangent : 1.0;
  return curvature > 0 ? std::min(unit, 0.5 / curvature) : unit;  // no pole at t = -1 either
}

Move control_of(const Move& move, const Weights& weights, std::uint64_t seed,
                const std::string& name) {
  Move control;
  const auto add = [&](const Place& place, double norm, std::int64_t numbers) {
    Change change{place};
    change.random = {seed,
                     fmt::format("flat/{}/{}/{}", name, weights.name(place.spec.name, place.block),
                                 control.changes.size()),
                     norm / std::sqrt(static_cast<double>(numbers))};
    control.changes.push_back(std::move(change));
  };
  double squares = 0;
  for (const Change& change : move.changes) {
    const at::Tensor m = load_place(weights, change.place);
    const double norm = velocity(change, 0, m).norm().item<double>();
    squares += norm * norm;
    if (move.alive.empty()) add(change.place, norm, m.numel());
  }
  const double each = std::sqrt(squares / static_cast<double>(move.alive.size()));
  for (const Place& place : move.alive) add(place, each, load_place(weights, place).numel());
  return control;
}

}  // namespace deadray::flat
