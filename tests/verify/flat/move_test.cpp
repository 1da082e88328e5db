#include "verify/flat/move.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/verify/spectrum/spectra.h"
#include "verify/base/tensors.h"

namespace deadray::flat {
namespace {

using testing::gaussian;

TensorSpec tensor(std::vector<std::int64_t> shape) { return {"w", std::move(shape), {}}; }

double distance(const at::Tensor& a, const at::Tensor& b) { return (a - b).norm().item<double>(); }

/// The changed tensor at t.
at::Tensor moved(const Change& change, const at::Tensor& stored, double t) {
  at::Tensor copy = stored.clone();
  apply(change, t, change.place.of(copy));
  return copy;
}

std::vector<Change> changes() {
  const auto dense = std::make_shared<Generator>(gaussian(3, 3, 2) / 3);
  const auto diagonal = std::make_shared<Generator>(gaussian(4, 1, 3).squeeze(1) / 2);
  const at::Tensor scale = gaussian(4, 1, 4).squeeze(1).abs() + 0.5;
  Place rows{tensor({5, 4})};
  rows.rows = {1, 3};
  Place turned{tensor({4, 5})};
  turned.view = Place::View::transposed;
  turned.rows = {1, 3};
  Place folded{tensor({5, 4})};
  folded.offset = 1.0;
  std::vector<Change> all;
  all.push_back({rows, {dense}});
  all.push_back({turned, {dense}});
  all.push_back({rows, {}, {diagonal}});
  all.push_back({folded, {}, {std::make_shared<Generator>(gaussian(4, 4, 5) / 4), scale}});
  all.push_back({rows, {dense}, {diagonal}});
  all.push_back({rows, {}, {}, gaussian(3, 4, 6)});
  all.push_back({rows, {}, {}, gaussian(3, 1, 7), 0.7});
  all.push_back({rows, {}, {}, gaussian(3, 1, 8)});
  all.back().across = gaussian(4, 1, 9).squeeze(1);
  Change random{rows};
  random.random = {1, "a control", 0.3};
  all.push_back(random);
  return all;
}

at::Tensor stored_for(const Change& change) {
  return gaussian(change.place.spec.shape[0], change.place.spec.shape[1], 1);
}

// 1e-8: the error of a central difference is t^2/6 of the third derivative, 1e-10 at t = 1e-5, and
// rounding over t, 1e-11.
TEST(MoveTest, VelocityIsTheDerivativeOfTheCurve) {
  for (const Change& change : changes()) {
    const at::Tensor stored = stored_for(change);
    for (const double at : {0.0, 0.3}) {
      constexpr double kStep = 1e-5;
      const at::Tensor difference =
          (moved(change, stored, at + kStep) - moved(change, stored, at - kStep)) / (2 * kStep);
      const at::Tensor there = moved(change, stored, at), rate = at::zeros_like(stored);
      change.place.of(rate).copy_(velocity(change, at, change.place.of(there)));
      EXPECT_LT(distance(difference, rate), 1e-8 * (1 + rate.norm().item<double>()));
    }
  }
}

TEST(MoveTest, NothingMovesAtZeroAndOutsideThePlace) {
  for (const Change& change : changes()) {
    const at::Tensor stored = stored_for(change);
    // 1e-15: the offset of 1 is added and taken off again.
    EXPECT_LT(distance(moved(change, stored, 0), stored), 1e-15 * 20);
    at::Tensor far = moved(change, stored, 1);
    EXPECT_GT(distance(far, stored), 0.1);
    change.place.of(far).copy_(change.place.of(stored));
    EXPECT_TRUE(at::equal(far, stored));
  }
}

TEST(MoveTest, AGroupAndItsInverseLeaveAProductAlone) {
  const at::Tensor b = gaussian(6, 6, 1) / 6;
  Change up{{tensor({6, 4})}, {std::make_shared<Generator>(b)}};
  Change down{{tensor({5, 6})}, {}, {std::make_shared<Generator>(-b)}};
  const at::Tensor first = gaussian(6, 4, 2), second = gaussian(5, 6, 3);
  const at::Tensor product = second.mm(first);
  for (const double t : {0.5, 2.0, std::log1p(100.0)})
    // 1e-12: exp(tB) and its inverse have a condition of at most e^(2 t |B|), some 1e3 here.
    EXPECT_LT(distance(moved(down, second, t).mm(moved(up, first, t)), product), 1e-12);
}

TEST(MoveTest, SizesOfGroupsAreTakenByTheirLogarithm) {
  Move group;
  group.changes.push_back({{tensor({1, 1})}, {std::make_shared<Generator>(at::ones({1}, fp64()))}});
  EXPECT_DOUBLE_EQ(group.time_of(100), std::log(101.0));
  Move line;
  line.changes.push_back({{tensor({1, 1})}, {}, {}, at::ones({1, 1}, fp64())});
  EXPECT_DOUBLE_EQ(line.time_of(100), 100);
}

TEST(MoveTest, TheEntryIsTheFirstBlockThatMoves) {
  Move move;
  Change change{{tensor({2, 2})}};
  change.place.is_end = true;
  move.changes.push_back(change);
  EXPECT_EQ(move.entry(7), 7);
  change.place.is_end = false;
  change.place.block = 4;
  move.changes.push_back(change);
  EXPECT_EQ(move.entry(7), 4);
  change.place.block = -1;
  move.changes.push_back(change);
  EXPECT_EQ(move.entry(7), -1);
}

}  // namespace
}  // namespace deadray::flat
