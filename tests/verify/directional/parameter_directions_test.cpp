#include "verify/directional/parameter_directions.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <variant>
#include <vector>

#include "host/architecture/norm_parameters.h"
#include "verify/base/tensors.h"

namespace deadray {
namespace {

using Kind = ParameterDirection::Kind;

constexpr std::int64_t kWidth = 6;

/// A norm of six dimensions, and the directions drawn for its consumers.
struct Drawn {
  NormSite site;
  NormParameters norm{{0.5, -2.0, 1.25, 0.8, 1.0, 3.0}, {0.1, 0.2, -0.3, 0.4, 0.0, -0.5}};

  explicit Drawn(std::vector<Consumer> consumers, NormKind kind = NormKind::layernorm) {
    site.name = "ln";
    site.kind = kind;
    site.hidden_size = kWidth;
    site.consumers = std::move(consumers);
  }
  std::vector<ParameterDirection> draw(std::uint64_t seed = 0,
                                       DirectionCounts counts = {2, 3}) const {
    const DeadSubspace subspace = predict(site.kind, norm.gamma, norm.beta);
    return parameter_directions(site, norm, subspace, dead_parameters(site, subspace), counts,
                                seed);
  }
  std::int64_t count(Kind kind, const std::string& consumer) const {
    const auto all = draw();
    return std::count_if(all.begin(), all.end(),
                         [&](const auto& d) { return d.kind == kind && d.consumer == consumer; });
  }
};

const ConsumerMove& own_move(const ParameterDirection& direction) {
  return std::get<ConsumerMove>(direction.move);
}

double size_of(const ConsumerMove& move) {  // of (dW, db)
  return move.u.norm().item<double>() * std::hypot(move.r.norm().item<double>(), move.s);
}

// u: two norms of four entries and the quotients by one of them, seven roundings of 2^-53. r: each
// entry has three of a reciprocal that shares a division and one of the length, the product with
// gamma one more; of two such and their quotient there are eleven. s: some sixteen, of terms whose
// sum is at most |beta| < 0.75.
TEST(ParameterDirectionsTest, TheBiasTakesUpWhatTheDirectionHolds) {
  const Drawn drawn({{"up", 4, true}});
  const at::Tensor gamma = to_tensor(drawn.norm.gamma), beta = to_tensor(drawn.norm.beta);
  for (const ParameterDirection& direction : drawn.draw()) {
    ASSERT_FALSE(direction.of_shift());
    const ConsumerMove& move = own_move(direction);
    EXPECT_NEAR(move.u.norm().item<double>(), 1.0, 1e-15);
    if (direction.kind == Kind::random) continue;
    EXPECT_LT((move.r * gamma / (move.r * gamma)[0] - 1.0).abs().max().item<double>(), 2e-15)
        << "r is along 1/gamma";
    EXPECT_NEAR(move.s, direction.kind == Kind::dead ? -move.r.dot(beta).item<double>() : 0.0,
                2e-15);
  }
}

// A size takes some twenty roundings of 2^-53, and none is above 1.3.
TEST(ParameterDirectionsTest, ControlsHaveTheNormsOfWhatTheyControl) {
  Drawn drawn({{"up", 4, true}});
  for (const std::vector<std::size_t>& zeros :
       std::vector<std::vector<std::size_t>>{{}, {1, 2, 4}}) {  // beta 0.2, -0.3 and 0 there
    for (const std::size_t i : zeros) drawn.norm.gamma[i] = 0.0;
    std::vector<double> dead, random;
    for (const ParameterDirection& direction : drawn.draw(0, {4, 4}))
      if (direction.kind != Kind::weight_only)
        (direction.kind == Kind::dead ? dead : random).push_back(size_of(own_move(direction)));
    ASSERT_EQ(dead.size(), 4U);
    ASSERT_EQ(random.size(), 4U);
    for (std::size_t k = 0; k < 4; ++k) EXPECT_NEAR(random[k], dead[k], 1e-14) << k;
  }
}

TEST(ParameterDirectionsTest, DrawsWhatWasAskedForOfEachConsumer) {
  const Drawn drawn({{"q", 4, true}, {"k", 3, true}});
  for (const char* consumer : {"q", "k"}) {
    EXPECT_EQ(drawn.count(Kind::dead, consumer), 2);
    EXPECT_EQ(drawn.count(Kind::weight_only, consumer), 2);
    EXPECT_EQ(drawn.count(Kind::random, consumer), 3);
  }
}

TEST(ParameterDirectionsTest, WithoutAConstantThereIsNothingToForget) {
  Drawn drawn({{"q", 4, true}});
  drawn.norm.beta.assign(kWidth, 0.0);
  EXPECT_EQ(drawn.count(Kind::weight_only, "q"), 0);
  EXPECT_EQ(Drawn({{"q", 4, false}}, NormKind::rmsnorm).count(Kind::weight_only, "q"), 0);
}

// beta = k gamma with integers k that add up to 0: what the constant rounds to decides what is
// claimed, and what is drawn agrees with it.
TEST(ParameterDirectionsTest, AShiftIsDrawnExactlyWhereOneIsClaimed) {
  std::mt19937 engine(1);
  int with_shift = 0, without = 0;
  for (int i = 0; i < 200; ++i) {
    Drawn drawn({{"q", 4, false}});
    const std::vector<double> k = {1, 2, -3, 5, -4, -1};
    for (std::size_t j = 0; j < k.size(); ++j) {
      drawn.norm.gamma[j] = 0.1 * static_cast<double>(1 + engine() % 30);
      drawn.norm.beta[j] = k[j] * drawn.norm.gamma[j];
    }
    const bool claimed = *predict(drawn.site.kind, drawn.norm.gamma, drawn.norm.beta).constant != 0;
    ++(claimed ? with_shift : without);
    const auto all = drawn.draw();
    EXPECT_EQ(std::any_of(all.begin(), all.end(), [](const auto& d) { return d.of_shift(); }),
              claimed);
  }
  EXPECT_GT(with_shift, 0);
  EXPECT_GT(without, 0);
}

// beta + t a and W - t/(1 + curvature t) (W a) r'^T, r' = v*/c: <v*, h> = c + t <v*, a> takes the
// shift off again, at any t.
TEST(ParameterDirectionsTest, AShiftOfBetaIsTakenOffAgainByEveryConsumer) {
  const Drawn drawn({{"q", 4, false}, {"up", 5, true}});
  const at::Tensor gamma = to_tensor(drawn.norm.gamma), beta = to_tensor(drawn.norm.beta),
                   z = at::tensor({0.3, -1.0, 0.5, 1.2, -0.4, -0.6}, fp64());
  const at::Tensor w = at::linspace(-1.0, 1.0, 4 * kWidth, fp64()).view({4, kWidth});
  bool found = false;
  for (const ParameterDirection& direction : drawn.draw()) {
    if (direction.kind != Kind::dead || direction.consumer != "q") continue;
    found = true;
    const auto& shift = std::get<BetaShift>(direction.move);
    ASSERT_EQ(shift.norm, "ln");
    ASSERT_EQ(shift.compensations.size(), 2U)
        << "the consumer with a bias reads the shifted norm too";
    EXPECT_GE(shift.curvature, 0.0);
    for (const double t : {1e-3, 1.0, 100.0}) {
      const Compensation& move = shift.compensations[0];
      const at::Tensor h = gamma * z + beta, moved = h + t * shift.a;
      const at::Tensor u = at::mv(w, shift.a),
                       other = w + shift.step_of_weights(t) * at::outer(u, move.r);
      // z sums to 0: some ten roundings of terms of the size of W a t.
      EXPECT_LT((at::mv(other, moved) - at::mv(w, h)).abs().max().item<double>(),
                1e-13 * (1 + 100 * t))
          << t;
      EXPECT_EQ(shift.compensations[1].s, -1.0) << "there the bias takes W a off";
    }
  }
  EXPECT_TRUE(found);
}

TEST(ParameterDirectionsTest, EachExactZeroOfGammaIsADirectionOfItsOwn) {
  Drawn drawn({{"q", 4, true}});
  drawn.norm.gamma[1] = drawn.norm.gamma[4] = 0.0;
  std::vector<std::int64_t> axes;
  for (const ParameterDirection& direction : drawn.draw()) {
    if (direction.kind != Kind::dead) continue;
    const ConsumerMove& move = own_move(direction);
    axes.push_back(move.r.argmax().item<std::int64_t>());
    EXPECT_EQ(move.r.abs().sum().item<double>(), 1.0);
    EXPECT_EQ(move.s, -drawn.norm.beta[static_cast<std::size_t>(axes.back())]);
  }
  EXPECT_EQ(axes, (std::vector<std::int64_t>{1, 4}));
}

// Zeros of gamma whose shifts are 0, and others: each functional with the constant 0 is dead alone,
// of the rest all combinations with that constant; only the rest can take up a shift of beta. Every
// dead direction claimed is a functional that holds for beta itself (z = 0).
TEST(ParameterDirectionsTest, ZerosWithAndWithoutAShiftAreKeptApart) {
  Drawn drawn({{"q", 4, false}, {"k", 3, false}});
  drawn.norm.gamma[1] = drawn.norm.gamma[2] = drawn.norm.gamma[4] = 0.0;  // beta 0.2, -0.3 and 0
  const at::Tensor beta = to_tensor(drawn.norm.beta);
  std::int64_t shifts = 0, bare = 0;
  for (const ParameterDirection& direction : drawn.draw(0, {4, 2})) {
    if (const auto* shift = std::get_if<BetaShift>(&direction.move))
      for (const Compensation& move : shift->compensations)
        ASSERT_TRUE(move.r.isfinite().all().item<bool>());
    else
      ASSERT_TRUE(own_move(direction).r.isfinite().all().item<bool>());
    if (direction.kind != Kind::dead) continue;
    if (const auto* shift = std::get_if<BetaShift>(&direction.move); shift && shift->norm) {
      ++shifts;
      EXPECT_NEAR(shift->compensations[0].r.dot(beta).item<double>(), -1.0, 1e-15)
          << "takes off what the shift adds, up to a quotient's rounding and a product's";
      continue;
    }
    ++bare;
    EXPECT_NEAR(own_move(direction).r.dot(beta).item<double>(), 0.0, 1e-15)
        << "up to some four roundings of two terms below 0.2";
    EXPECT_EQ(own_move(direction).s, 0.0);
  }
  EXPECT_EQ(shifts, 4) << "for the first consumer, which stands for both";
  EXPECT_EQ(bare, 2 * 4);
}

// A shift has |a| = 1, what moves one consumer alone |dW| = 1: each kind has controls like itself.
TEST(ParameterDirectionsTest, ShiftsAndWhatMovesOneConsumerHaveControlsOfTheirOwn) {
  Drawn drawn({{"q", 4, false}, {"k", 3, false}});
  drawn.norm.gamma[1] = drawn.norm.gamma[2] = 0.0;  // beta 0.2 and -0.3
  const auto count = [&](const char* consumer, Kind kind, bool of_shift) {
    const auto all = drawn.draw(0, {2, 3});
    return std::count_if(all.begin(), all.end(), [&](const auto& d) {
      return d.consumer == consumer && d.kind == kind && d.of_shift() == of_shift;
    });
  };
  EXPECT_EQ(count("q", Kind::dead, true), 2);
  EXPECT_EQ(count("q", Kind::weight_only, true), 2);
  EXPECT_EQ(count("q", Kind::random, true), 3);
  for (const char* consumer : {"q", "k"}) {
    EXPECT_EQ(count(consumer, Kind::dead, false), 2) << consumer;
    EXPECT_EQ(count(consumer, Kind::random, false), 3) << consumer;
  }
  EXPECT_EQ(count("k", Kind::dead, true) + count("k", Kind::random, true), 0)
      << "the first consumer's stand for both";
}

// Several exact zeros of gamma give a consumer directions of its own beside the shift of beta.
TEST(ParameterDirectionsTest, AsManyAreCountedAsAreDrawn) {
  const std::vector<std::vector<Consumer>> cases = {
      {{"q", 4, true}}, {{"q", 4, false}, {"k", 3, false}}, {{"q", 4, false}, {"up", 5, true}}};
  const std::vector<std::vector<std::size_t>> zeros = {{}, {1}, {4}, {1, 2}, {1, 2, 4}};
  for (const std::vector<Consumer>& consumers : cases)
    for (const std::vector<std::size_t>& zero : zeros) {
      Drawn drawn(consumers);
      for (const std::size_t i : zero) drawn.norm.gamma[i] = 0.0;
      const DeadSubspace subspace = predict(drawn.site.kind, drawn.norm.gamma, drawn.norm.beta);
      const std::vector<std::int64_t> counted = count_parameter_directions(
          drawn.site, drawn.norm, subspace, dead_parameters(drawn.site, subspace), {2, 3});
      ASSERT_EQ(counted.size(), consumers.size());
      for (std::size_t i = 0; i < consumers.size(); ++i) {
        std::int64_t wanted = 0;
        for (const Kind kind : {Kind::dead, Kind::weight_only, Kind::random})
          wanted += drawn.count(kind, consumers[i].name);
        EXPECT_EQ(counted[i], wanted) << consumers[i].name << ", zeros " << zero.size();
      }
    }
}

TEST(ParameterDirectionsTest, DependsOnTheSeedAlone) {
  const Drawn drawn({{"q", 4, true}});
  const auto one = drawn.draw(7), same = drawn.draw(7), other = drawn.draw(8),
             fewer = drawn.draw(7, {1, 1});
  EXPECT_TRUE(own_move(one[0]).u.equal(own_move(same[0]).u));
  EXPECT_FALSE(own_move(one[0]).u.equal(own_move(other[0]).u));
  EXPECT_TRUE(own_move(one[0]).u.equal(own_move(fewer[0]).u))
      << "how many are drawn does not change the first";
}

}  // namespace
}  // namespace deadray
