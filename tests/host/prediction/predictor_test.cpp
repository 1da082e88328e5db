#include "host/prediction/predictor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "host/base/error.h"

namespace deadray {
namespace {

using Vector = std::vector<double>;
constexpr double kRoundoff = 0x1p-53;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

Vector normals(std::size_t n, std::uint64_t seed, double deviation = 1.0) {
  std::mt19937_64 generator(seed);
  std::normal_distribution<double> normal(0.0, deviation);
  Vector values(n);
  for (double& x : values) x = normal(generator);
  return values;
}

/// Signed, away from zero, over about two decades: what trained scales look like.
Vector scales(std::size_t n, std::uint64_t seed) {
  std::mt19937_64 generator(seed);
  std::uniform_real_distribution<double> log_magnitude(-3.0, 1.0);
  Vector values(n);
  for (double& x : values)
    x = std::exp(log_magnitude(generator)) * (generator() % 4 == 0 ? -1.0 : 1.0);
  return values;
}

enum class Normaliser { deviation, deviation_with_eps, rms, one, taxicab };

/// gamma (x - mean)/s(x) + beta in extended precision, so that the test sees the prediction's
/// rounding and not its own.
std::vector<long double> layernorm(const Vector& x, const Vector& gamma, const Vector& beta,
                                   Normaliser normaliser) {
  const auto d = static_cast<long double>(x.size());
  long double mean = 0, squares = 0, variance = 0, absolute = 0;
  for (const double v : x) mean += v / d;
  for (const double v : x) {
    squares += static_cast<long double>(v) * v / d;
    variance += (v - mean) * (v - mean) / d;
    absolute += std::fabs(v);
  }
  const long double s = normaliser == Normaliser::deviation            ? std::sqrt(variance)
                        : normaliser == Normaliser::deviation_with_eps ? std::sqrt(variance + 1e-5L)
                        : normaliser == Normaliser::rms                ? std::sqrt(squares)
                        : normaliser == Normaliser::taxicab            ? absolute
                                                                       : 1.0L;
  std::vector<long double> h(x.size());
  for (std::size_t i = 0; i < x.size(); ++i)
    h[i] = gamma[i] * ((x[i] - mean) / s) + (beta.empty() ? 0.0L : beta[i]);
  return h;
}

struct Projection {
  long double value = 0, magnitude = 0;  ///< <v, h> and sum |v_i h_i|, the scale of its rounding
};

Projection project(const Vector& v, const std::vector<long double>& h) {
  Projection p;
  for (std::size_t i = 0; i < v.size(); ++i) {
    p.value += v[i] * h[i];
    p.magnitude += std::fabs(v[i] * h[i]);
  }
  return p;
}

/// Largest relative distance of the direction from (1/gamma)/|1/gamma| evaluated in extended
/// precision.
double direction_error(const DeadSubspace& subspace, const Vector& gamma) {
  long double squares = 0, lowest = kInfinity;
  for (const double g : gamma)
    lowest = std::min<long double>(lowest, std::fabs(static_cast<long double>(g)));
  for (const double g : gamma) squares += (lowest / g) * (lowest / g);
  double worst = 0;
  const Vector direction = subspace.direction();
  for (std::size_t i = 0; i < gamma.size(); ++i) {
    const long double want = lowest / gamma[i] / std::sqrt(squares);
    worst = std::max(worst, static_cast<double>(std::fabs((direction[i] - want) / want)));
  }
  return worst;
}

// Three roundings of 1/gamma (two values share a division) and two of the scaling by 1/norm are 5
// u; the norm itself adds at most (log-ish, at worst d/16 sequential) roundings of a sum of
// positive terms, halved by the square root.
double direction_bound(std::size_t d) { return (8.0 + static_cast<double>(d) / 2) * kRoundoff; }

class PredictorSizeTest : public ::testing::TestWithParam<std::size_t> {};
INSTANTIATE_TEST_SUITE_P(Sizes, PredictorSizeTest,
                         ::testing::Values(1, 2, 3, 7, 17, 384, 768, 4096, 8192));

TEST_P(PredictorSizeTest, ProjectionIsTheConstantForAnyInputAndAnyNormaliser) {
  const std::size_t d = GetParam();
  const Vector gamma = scales(d, d), beta = normals(d, d + 1, 0.3);
  for (const Vector& shift : {beta, Vector{}}) {
    const DeadSubspace subspace = predict(NormKind::layernorm, gamma, shift);
    ASSERT_TRUE(subspace.constant.has_value());
    ASSERT_EQ(subspace.dimension, 1);
    const Vector direction = subspace.direction();
    long double shift_magnitude = 0;
    for (std::size_t i = 0; i < shift.size(); ++i)
      shift_magnitude += std::fabs(direction[i] * shift[i]);
    for (const auto normaliser : {Normaliser::deviation, Normaliser::deviation_with_eps,
                                  Normaliser::rms, Normaliser::one, Normaliser::taxicab}) {
      if (d == 1 && normaliser == Normaliser::deviation) continue;  // 0/0
      for (std::uint64_t seed = 0; seed < 4; ++seed) {
        const Projection p =
            project(direction, layernorm(normals(d, 100 + seed, 3.0), gamma, shift, normaliser));
        // Each v_i carries a few roundings, and c is a sum of d terms: (d + 8) u of what is added
        // up, once for each side.
        const double bound =
            static_cast<double>((8.0L + d) * kRoundoff * (p.magnitude + shift_magnitude));
        EXPECT_NEAR(static_cast<double>(p.value), *subspace.constant / subspace.inverse_norm, bound)
            << "seed " << seed;
      }
    }
  }
}

TEST_P(PredictorSizeTest, DirectionIsTheUnitReciprocal) {
  const std::size_t d = GetParam();
  const Vector gamma = scales(d, d + 7);
  const DeadSubspace subspace = predict(NormKind::layernorm, gamma, {});
  EXPECT_LE(direction_error(subspace, gamma), direction_bound(d));
  const Vector direction = subspace.direction();
  const double square =
      std::inner_product(direction.begin(), direction.end(), direction.begin(), 0.0);
  EXPECT_NEAR(
      square, 1.0,
      4 * direction_bound(d));  // twice the direction's own error, and the sum's d/2 roundings here
  EXPECT_EQ(subspace.exponent, 0);
}

TEST_P(PredictorSizeTest, ReciprocalsAreWithinTwoEpsilonOfDivision) {
  const Vector gamma = scales(GetParam(), 3);
  const DeadSubspace subspace = predict(NormKind::layernorm, gamma, {});
  ASSERT_EQ(subspace.inverse.size(), gamma.size());
  // Three roundings, of which a division that two values share takes one, and a rounding of the
  // product here.
  for (std::size_t i = 0; i < gamma.size(); ++i)
    EXPECT_NEAR(subspace.inverse[i] * gamma[i], 1.0, 4 * kRoundoff) << i;
}

TEST_P(PredictorSizeTest, ReportsRangeAndTolerance) {
  const Vector gamma = scales(GetParam(), 11);
  const DeadSubspace subspace = predict(NormKind::layernorm, gamma, {});
  const auto less = [](double a, double b) { return std::fabs(a) < std::fabs(b); };
  EXPECT_EQ(subspace.gamma_min, std::fabs(*std::min_element(gamma.begin(), gamma.end(), less)));
  EXPECT_EQ(subspace.gamma_max, std::fabs(*std::max_element(gamma.begin(), gamma.end(), less)));
  EXPECT_EQ(subspace.tau, PredictOptions{}.relative_tau * subspace.gamma_max);
  EXPECT_EQ(subspace.variance_bound, 0.0);
  EXPECT_TRUE(subspace.coordinates.empty());
}

TEST_P(PredictorSizeTest, FlippedSignsFlipTheDirectionAndNothingElse) {
  const std::size_t d = GetParam();
  const Vector gamma = scales(d, 21), beta = normals(d, 22);
  Vector flipped = gamma, flipped_beta = beta;
  for (std::size_t i = 0; i < d; i += 3) {
    flipped[i] = -flipped[i];
    flipped_beta[i] = -flipped_beta[i];
  }
  const DeadSubspace a = predict(NormKind::layernorm, gamma, beta),
                     b = predict(NormKind::layernorm, flipped, flipped_beta);
  for (std::size_t i = 0; i < d; ++i)
    EXPECT_EQ(b.inverse[i], i % 3 == 0 ? -a.inverse[i] : a.inverse[i]);
  EXPECT_EQ(a.inverse_norm, b.inverse_norm);
  EXPECT_EQ(*a.constant, *b.constant);  // beta_i/gamma_i keeps its sign where both flip
}

TEST_P(PredictorSizeTest, PermutedGammaPermutesTheDirection) {
  const std::size_t d = GetParam();
  const Vector gamma = scales(d, 31), beta = normals(d, 32);
  std::vector<std::size_t> order(d);
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), std::mt19937_64(33));
  Vector gamma_permuted(d), beta_permuted(d);
  for (std::size_t i = 0; i < d; ++i) {
    gamma_permuted[i] = gamma[order[i]];
    beta_permuted[i] = beta[order[i]];
  }
  const DeadSubspace a = predict(NormKind::layernorm, gamma, beta),
                     b = predict(NormKind::layernorm, gamma_permuted, beta_permuted);
  const Vector a_direction = a.direction(), b_direction = b.direction();
  double quotients = 0;
  for (std::size_t i = 0; i < d; ++i) {
    // The order of a sum and the partner in a division change: rounding, twice the bound of one
    // evaluation.
    EXPECT_NEAR(b_direction[i] / a_direction[order[i]], 1.0, 2 * direction_bound(d));
    quotients += std::fabs(beta[i] / gamma[i]);
  }
  EXPECT_NEAR(*a.constant, *b.constant, 2 * (static_cast<double>(d) + 4) * kRoundoff * quotients);
}

TEST_P(PredictorSizeTest, PowersOfTwoLeaveTheDirectionBitForBit) {
  const std::size_t d = GetParam();
  const Vector gamma = scales(d, 41), beta = normals(d, 42);
  const DeadSubspace want = predict(NormKind::layernorm, gamma, beta);
  for (const int exponent : {-1000, -513, -300, -190, -1, 1, 60, 195, 205, 511, 700, 1000}) {
    Vector scaled = gamma;
    for (double& g : scaled) g = std::ldexp(g, exponent);
    const DeadSubspace got = predict(NormKind::layernorm, scaled, beta);
    EXPECT_EQ(got.direction(), want.direction()) << "2^" << exponent;
    // beta is scaled too when gamma leaves the safe range, which is exact.
    EXPECT_EQ(*got.constant, std::ldexp(*want.constant, -exponent)) << "2^" << exponent;
    EXPECT_EQ(got.exponent != 0, std::abs(exponent) > 200) << "2^" << exponent;
  }
}

TEST(PredictorTest, MixedExtremeScalesAreEvaluatedRight) {
  for (const Vector& gamma : {Vector{1e-320, 1.0, 1e300}, Vector{1e-200, -1e200, 1e-199, 3e-200},
                              Vector{1e300, 1.5e308, -2e305}, Vector{5e-324, 1e-323, 5e-324},
                              Vector{1e-70, 1e70, 1e-69, 1.0}, Vector{2.0, 1e-61}}) {
    const DeadSubspace subspace = predict(NormKind::layernorm, gamma, {});
    const Vector direction = subspace.direction();
    ASSERT_EQ(direction.size(), gamma.size());
    long double squares = 0, lowest = kInfinity;
    for (const double g : gamma)
      lowest = std::min<long double>(lowest, std::fabs(static_cast<long double>(g)));
    for (const double g : gamma) squares += (lowest / g) * (lowest / g);
    for (std::size_t i = 0; i < gamma.size(); ++i) {
      const long double want = lowest / gamma[i] / std::sqrt(squares);
      // The bound of the direction; entries below the smallest normal number may vanish.
      EXPECT_NEAR(direction[i], static_cast<double>(want),
                  std::max<double>(direction_bound(4) * std::fabs(static_cast<double>(want)),
                                   std::numeric_limits<double>::min()));
    }
  }
}

TEST(PredictorTest, HugeShiftsDoNotOverflowTheConstant) {
  const Vector gamma{1e-50, 2e-50, 4e-50}, beta{1e250, 1e200, -1e250};
  const DeadSubspace subspace = predict(NormKind::layernorm, gamma, beta);
  const double want = 1e300 + 0.5e250 - 0.25e300;
  // The two quotients that count differ by a factor of 4: what each of them rounds, three to four
  // times, is at most 5/3 of that in the sum, which rounds once more.
  EXPECT_NEAR(*subspace.constant / want, 1.0, 8 * kRoundoff);
  EXPECT_GE(subspace.deployed_floor, 0.0) << "infinity is right, NaN is not";
}

TEST(PredictorTest, ZerosSpanTheSubspaceAndLeaveNoDirection) {
  Vector gamma = scales(64, 51);
  gamma[5] = 0.0;
  gamma[40] = -0.0;
  const Vector beta = normals(64, 52);
  const DeadSubspace subspace = predict(NormKind::layernorm, gamma, beta);
  EXPECT_EQ(subspace.coordinates, (std::vector<std::int64_t>{5, 40}));
  EXPECT_EQ(subspace.dimension, 2);
  EXPECT_TRUE(subspace.direction().empty());
  EXPECT_FALSE(subspace.constant.has_value());
  EXPECT_EQ(subspace.inverse_norm, 0.0);
  EXPECT_EQ(subspace.zero_shifts, (Vector{beta[5], beta[40]}));
  EXPECT_EQ(subspace.variance_bound, 0.0);
  EXPECT_EQ(subspace.gamma_min, 0.0);
}

TEST(PredictorTest, TinyScalesJoinTheSubspaceAndTheDirectionStays) {
  Vector gamma = scales(384, 61);
  gamma[3] = 1e-9;
  gamma[200] = -1e-33;
  gamma[301] = 4e-12;
  const DeadSubspace subspace = predict(NormKind::layernorm, gamma, {});
  EXPECT_EQ(subspace.coordinates, (std::vector<std::int64_t>{3, 200, 301}));
  EXPECT_EQ(subspace.dimension, 3);
  const Vector direction = subspace.direction();
  ASSERT_EQ(direction.size(), gamma.size());
  EXPECT_TRUE(subspace.zero_shifts.empty());
  // v* lies in the span of S: |v_i| is at most |gamma_200 / gamma_i|, and the other scales are at
  // least e^-3. The factor of 2 is for roundings, which take less than 1e-12 of it.
  double outside = 0;
  for (std::size_t i = 0; i < gamma.size(); ++i)
    if (i != 3 && i != 200 && i != 301) outside += direction[i] * direction[i];
  EXPECT_LE(std::sqrt(outside), 2 * std::sqrt(384.0) * 1e-33 / std::exp(-3.0));
  EXPECT_DOUBLE_EQ(subspace.variance_bound, 384 * 1e-18);  // d times the square of gamma_3
}

TEST(PredictorTest, VarianceInTheSubspaceStaysBelowTheBound) {
  constexpr std::size_t kWidth = 24, kTokens = 500;
  Vector gamma = scales(kWidth, 71);
  const PredictOptions options{.relative_tau = 1e-3};
  gamma[2] = 1e-4;
  gamma[9] = -5e-4;
  gamma[17] = 2e-4;
  const DeadSubspace subspace = predict(NormKind::layernorm, gamma, {}, options);
  ASSERT_EQ(subspace.dimension, 3);
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    Vector weights = normals(3, seed);
    const double norm =
        std::sqrt(std::inner_product(weights.begin(), weights.end(), weights.begin(), 0.0));
    double sum = 0, squares = 0;
    for (std::size_t t = 0; t < kTokens; ++t) {
      const auto h = layernorm(normals(kWidth, 1000 * seed + t), gamma, {}, Normaliser::deviation);
      double p = 0;
      for (std::size_t j = 0; j < 3; ++j)
        p += weights[j] / norm *
             static_cast<double>(h[static_cast<std::size_t>(subspace.coordinates[j])]);
      sum += p;
      squares += p * p;
    }
    EXPECT_LE(squares / kTokens - sum / kTokens * (sum / kTokens), subspace.variance_bound);
  }
}

// Negative control: without the subtraction of the mean the same projection moves at the order of
// any other direction.
TEST(PredictorTest, RmsNormHasNoFixedProjection) {
  constexpr std::size_t kWidth = 64;
  const Vector gamma = scales(kWidth, 81);
  const DeadSubspace subspace = predict(NormKind::rmsnorm, gamma, {});
  EXPECT_EQ(subspace.dimension, 0);
  EXPECT_FALSE(subspace.constant.has_value());
  EXPECT_EQ(subspace.deployed_floor, 0.0);
  const Vector direction = subspace.direction();
  ASSERT_EQ(direction.size(), kWidth);
  double sum = 0, squares = 0;
  constexpr int kTokens = 400;
  for (int t = 0; t < kTokens; ++t) {
    const Vector x = normals(kWidth, 90 + static_cast<std::uint64_t>(t));
    const double rms = std::sqrt(std::inner_product(x.begin(), x.end(), x.begin(), 0.0) / kWidth);
    double p = 0;
    for (std::size_t i = 0; i < kWidth; ++i) p += direction[i] * gamma[i] * x[i] / rms;
    sum += p;
    squares += p * p;
  }
  // <v*, h> = <1, z>/|1/gamma|, and <1, z> of isotropic inputs has variance d: within a factor of 2
  // at 400 tokens (20 deviations).
  const double want = kWidth / (subspace.inverse_norm * subspace.inverse_norm);
  const double variance = squares / kTokens - sum / kTokens * (sum / kTokens);
  EXPECT_GT(variance, want / 2);
  EXPECT_LT(variance, want * 2);
}

TEST(PredictorTest, RmsNormKeepsItsTinyScales) {
  Vector gamma = scales(32, 91);
  gamma[7] = 0.0;
  const DeadSubspace subspace = predict(NormKind::rmsnorm, gamma, {});
  EXPECT_EQ(subspace.dimension, 1);
  EXPECT_EQ(subspace.coordinates, (std::vector<std::int64_t>{7}));
}

TEST(PredictorTest, DeployedFloorFollowsItsFormula) {
  const Vector gamma = scales(48, 101), beta = normals(48, 102);
  const DeadSubspace subspace = predict(NormKind::layernorm, gamma, beta);
  double numerator = 0, inverse = 0;
  for (std::size_t i = 0; i < gamma.size(); ++i) {
    numerator += (gamma[i] * gamma[i] + beta[i] * beta[i]) / (gamma[i] * gamma[i]);
    inverse += 1 / (gamma[i] * gamma[i]);
  }
  const double u = 0x1p-24;
  // Sums of 48 positive terms on both sides: each is off by less than 48 roundings, as a rule by
  // their root; 64 leave room for those of the terms.
  EXPECT_NEAR(subspace.deployed_floor / (u * u * numerator / inverse / 3), 1.0, 64 * kRoundoff);
}

TEST(PredictorTest, TellsWhereItsNumbersComeToAnEdge) {
  const auto edges = [](const Vector& gamma, const Vector& beta = {}) {
    return edges_of_range(predict(NormKind::layernorm, gamma, beta));
  };
  EXPECT_TRUE(edges({1.0, 1e-37, 1e37, -0.5}, {1.0, 0.0, 1.0, 1.0}).empty());
  EXPECT_TRUE(edges({1.0, 0.0, 2.0}).empty()) << "a zero is no rounding";
  const auto wide = edges({1.0, 1e-310, 1e200, 1.0});
  ASSERT_EQ(wide.size(), 2U);
  EXPECT_NE(wide[0].find("evaluated scaled"), wide[0].npos);
  EXPECT_NE(wide[1].find("subnormal"), wide[1].npos);
  EXPECT_EQ(edges({1.0, 1e-40}).size(), 1U) << "as float32 holds it";
  const auto overflow = edges({1e-20, 1.0}, {1e300, 0.0});
  ASSERT_EQ(overflow.size(), 1U);
  EXPECT_NE(overflow[0].find("beyond the range of a double"), overflow[0].npos);
}

std::string message_of(const Vector& gamma, const Vector& beta) {
  try {
    predict(NormKind::layernorm, gamma, beta, {}, "ln_f.weight");
  } catch (const MalformedError& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(PredictorTest, NamesTensorCountAndFirstIndexOfValuesThatAreNotFinite) {
  Vector gamma(768, 1.0);
  gamma[17] = std::nan("");
  gamma[400] = kInfinity;
  gamma[767] = -kInfinity;
  EXPECT_EQ(message_of(gamma, {}),
            "tensor 'ln_f.weight': 3 of 768 values are not finite, the first at index 17 (nan)");
  Vector beta(768, 0.0);
  beta[2] = -kInfinity;
  EXPECT_EQ(message_of(Vector(768, 1.0), beta),
            "beta beside tensor 'ln_f.weight': 1 of 768 values are not finite, the first at index "
            "2 (-inf)");
}

class PredictorIndexTest : public ::testing::TestWithParam<std::size_t> {};
INSTANTIATE_TEST_SUITE_P(Everywhere, PredictorIndexTest, ::testing::Range<std::size_t>(0, 19));

TEST_P(PredictorIndexTest, OneBadValueIsFoundWhereverItStands) {
  for (const double bad : {std::nan(""), kInfinity, -kInfinity}) {
    Vector gamma = scales(19, 1), beta = normals(19, 2);
    gamma[GetParam()] = bad;
    EXPECT_THROW(predict(NormKind::layernorm, gamma, beta), MalformedError);
    gamma = scales(19, 1);
    beta[GetParam()] = bad;
    EXPECT_THROW(predict(NormKind::layernorm, gamma, beta), MalformedError);
  }
}

TEST(PredictorTest, RejectsAllZeroEmptyAndUnequalLengths) {
  EXPECT_EQ(message_of(Vector(4, 0.0), {}),
            "tensor 'ln_f.weight': all 4 values are zero: the norm's output does not depend on its "
            "input");
  EXPECT_NE(message_of({}, {}).find("no values"), std::string::npos);
  EXPECT_NE(message_of({1.0, 2.0}, {1.0}).find("1 values, expected 2"), std::string::npos);
}

}  // namespace
}  // namespace deadray
