#include "host/prediction/dead_parameters.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <random>
#include <string>
#include <vector>

namespace deadray {
namespace {

using Vector = std::vector<double>;
using Family = DeadParameters::Family;

Vector draw_normals(std::size_t n, std::mt19937_64& generator) {
  std::normal_distribution<double> normal;
  Vector values(n);
  for (double& x : values) x = normal(generator);
  return values;
}

/// y = W h + b for one row of a LayerNorm (or, with centred = false, of an RMSNorm), all FP64.
struct Layer {
  std::int64_t hidden_size = 0, width = 0;
  Vector gamma, beta, weight, bias;  // beta and bias may be empty
  bool centred = true;

  Vector operator()(const Vector& x) const {
    const auto d = static_cast<double>(hidden_size);
    const double mean = centred ? std::accumulate(x.begin(), x.end(), 0.0) / d : 0.0;
    double squares = 0;
    for (const double v : x) squares += (v - mean) * (v - mean) / d;
    Vector y = bias.empty() ? Vector(static_cast<std::size_t>(width), 0.0) : bias;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double h =
          gamma[i] * (x[i] - mean) / std::sqrt(squares + 1e-5) + (beta.empty() ? 0.0 : beta[i]);
      for (std::size_t j = 0; j < y.size(); ++j) y[j] += weight[j * x.size() + i] * h;
    }
    return y;
  }
};

Layer random_layer(bool with_beta, bool with_bias, std::uint64_t seed) {
  std::mt19937_64 generator(seed);
  Layer layer{12, 5, draw_normals(12, generator), {}, draw_normals(60, generator), {}};
  for (double& g : layer.gamma) g = std::copysign(0.3 + std::fabs(g), g);
  if (with_beta) layer.beta = draw_normals(12, generator);
  if (with_bias) layer.bias = draw_normals(5, generator);
  return layer;
}

/// Largest movement of the outputs relative to their size, over random inputs.
double movement(const Layer& before, const Layer& after, std::uint64_t seed = 1) {
  std::mt19937_64 generator(seed);
  double moved = 0, size = 0;
  for (int t = 0; t < 50; ++t) {
    const Vector x = draw_normals(static_cast<std::size_t>(before.hidden_size), generator),
                 a = before(x), b = after(x);
    for (std::size_t j = 0; j < a.size(); ++j) {
      moved = std::max(moved, std::fabs(a[j] - b[j]));
      size = std::max(size, std::fabs(a[j]));
    }
  }
  return moved / size;
}

/// W + u v^T
void add_outer(Layer& layer, const Vector& u, const Vector& v, double step) {
  for (std::size_t j = 0; j < u.size(); ++j)
    for (std::size_t i = 0; i < v.size(); ++i) layer.weight[j * v.size() + i] += step * u[j] * v[i];
}

NormSite site_of(const Layer& layer, std::vector<Consumer> consumers) {
  NormSite site;
  site.name = "ln";
  site.kind = layer.centred ? NormKind::layernorm : NormKind::rmsnorm;
  site.hidden_size = layer.hidden_size;
  site.consumers = std::move(consumers);
  return site;
}

Consumer consumer(const std::string& name, std::int64_t width, bool has_bias, bool tied = false) {
  return {name, width, has_bias, tied};
}

// A step of size s adds terms of size s |v| |h| that cancel: their rounding, some 20 u each for 12
// terms and the norm's own arithmetic.
double rounding(double step) { return 1e-13 * (1 + step); }

// Negative controls: a step of size s that is not dead moves outputs of size 1 by about s. A
// thousandth of that is ten orders above rounding.
double clear_movement(double step) { return 1e-3 * step; }

class DeadParametersStepTest : public ::testing::TestWithParam<double> {};
INSTANTIATE_TEST_SUITE_P(Steps, DeadParametersStepTest, ::testing::Values(1.0, 100.0));

TEST_P(DeadParametersStepTest, BiasTakesUpTheConstant) {
  const Layer layer = random_layer(true, true, 1);
  const DeadSubspace subspace = predict(NormKind::layernorm, layer.gamma, layer.beta);
  std::mt19937_64 generator(2);
  const Vector u = draw_normals(5, generator);
  Layer moved = layer;
  add_outer(moved, u, subspace.direction(), GetParam());
  EXPECT_GT(movement(layer, moved), clear_movement(GetParam()))
      << "negative control: without the bias's share the outputs move";
  for (std::size_t j = 0; j < u.size(); ++j)
    moved.bias[j] -= GetParam() * u[j] * *subspace.constant / subspace.inverse_norm;
  EXPECT_LE(movement(layer, moved), rounding(GetParam()));
}

TEST_P(DeadParametersStepTest, WeightAloneIsDeadWithoutBeta) {
  const Layer layer = random_layer(false, false, 3);
  const DeadSubspace subspace = predict(NormKind::layernorm, layer.gamma, layer.beta);
  ASSERT_EQ(*subspace.constant, 0.0);
  std::mt19937_64 generator(4);
  const Vector u = draw_normals(5, generator);
  Layer moved = layer, control = layer;
  add_outer(moved, u, subspace.direction(), GetParam());
  EXPECT_LE(movement(layer, moved), rounding(GetParam()));
  Vector other = draw_normals(12, generator);
  const double norm = std::sqrt(std::inner_product(other.begin(), other.end(), other.begin(), 0.0));
  for (double& v : other) v /= norm;
  add_outer(control, u, other, GetParam());
  EXPECT_GT(movement(layer, control), clear_movement(GetParam()));
}

TEST_P(DeadParametersStepTest, ShiftOfBetaIsCompensatedByAllConsumersAtOnce) {
  const Layer bare = random_layer(true, false, 5);
  Layer with_bias = random_layer(true, true, 6);
  with_bias.gamma = bare.gamma;  // the same norm
  with_bias.beta = bare.beta;
  const DeadSubspace subspace = predict(NormKind::layernorm, bare.gamma, bare.beta);
  std::mt19937_64 generator(7);
  Vector a = draw_normals(12, generator);
  for (double& v : a) v *= GetParam();
  double denominator = *subspace.constant;
  for (std::size_t i = 0; i < a.size(); ++i) denominator += a[i] / bare.gamma[i];
  Layer bare_moved = bare, bias_moved = with_bias;
  for (std::size_t i = 0; i < a.size(); ++i) bare_moved.beta[i] = bias_moved.beta[i] += a[i];
  EXPECT_GT(movement(bare, bare_moved), clear_movement(GetParam()))
      << "negative control: beta alone moves the outputs";
  Vector u(5, 0.0);
  for (std::size_t j = 0; j < 5; ++j)
    for (std::size_t i = 0; i < 12; ++i) {
      u[j] -= bare.weight[j * 12 + i] * a[i] * subspace.inverse_norm / denominator;
      bias_moved.bias[j] -= with_bias.weight[j * 12 + i] * a[i];
    }
  add_outer(bare_moved, u, subspace.direction(), 1.0);
  // The compensation divides by c + <1/gamma, a>, which amplifies rounding by the step over it.
  const double amplified = GetParam() * subspace.inverse_norm / std::fabs(denominator);
  EXPECT_LE(movement(bare, bare_moved), rounding(GetParam()) * (1 + amplified));
  EXPECT_LE(movement(with_bias, bias_moved), rounding(GetParam()));
}

TEST_P(DeadParametersStepTest, EachExactZeroOfGammaIsDead) {
  Layer layer = random_layer(true, true, 8);
  layer.gamma[3] = layer.gamma[7] = 0.0;
  const DeadSubspace subspace = predict(NormKind::layernorm, layer.gamma, layer.beta);
  const auto counts = dead_parameters(site_of(layer, {consumer("up", 5, true)}), subspace);
  EXPECT_EQ(counts[0].count, 10);
  EXPECT_EQ(counts[0].family, Family::weight_and_bias);
  std::mt19937_64 generator(9);
  for (std::size_t k = 0; k < 2; ++k) {
    const Vector u = draw_normals(5, generator);
    Vector e(12, 0.0);
    e[static_cast<std::size_t>(subspace.coordinates[k])] = 1.0;
    Layer moved = layer;
    add_outer(moved, u, e, GetParam());
    for (std::size_t j = 0; j < 5; ++j)
      moved.bias[j] -= GetParam() * u[j] * subspace.zero_shifts[k];
    EXPECT_LE(movement(layer, moved), rounding(GetParam()));
  }
}

// Negative control: the same construction on an RMSNorm moves the outputs, so nothing may be
// claimed there.
TEST_P(DeadParametersStepTest, RmsNormHasNone) {
  Layer layer = random_layer(false, false, 10);
  layer.centred = false;
  const DeadSubspace subspace = predict(NormKind::rmsnorm, layer.gamma, {});
  std::mt19937_64 generator(11);
  Layer moved = layer;
  add_outer(moved, draw_normals(5, generator), subspace.direction(), GetParam());
  EXPECT_GT(movement(layer, moved), clear_movement(GetParam()));
  const auto counts =
      dead_parameters(site_of(layer, {consumer("q", 5, false), consumer("k", 2, true)}), subspace);
  for (const auto& c : counts) {
    EXPECT_EQ(c.family, Family::none);
    EXPECT_EQ(c.count, 0);
    EXPECT_FALSE(c.why.empty());
  }
}

std::vector<DeadParameters> counts_for(const Layer& layer, std::vector<Consumer> consumers,
                                       void (*change)(NormSite&) = nullptr) {
  NormSite site = site_of(layer, std::move(consumers));
  if (change != nullptr) change(site);
  return dead_parameters(site, predict(site.kind, layer.gamma, layer.beta));
}

TEST(DeadParametersTest, CountsOnePerOutputWhereThereIsABias) {
  const auto counts =
      counts_for(random_layer(true, true, 20), {consumer("q", 12, true), consumer("up", 48, true)});
  EXPECT_EQ(counts[0].count, 12);
  EXPECT_EQ(counts[1].count, 48);
  EXPECT_EQ(counts[1].family, Family::weight_and_bias);
}

TEST(DeadParametersTest, CountsWeightAloneWhereTheConstantIsZero) {
  const auto without_beta = counts_for(random_layer(false, false, 21), {consumer("q", 12, false)});
  EXPECT_EQ(without_beta[0].family, Family::weight);
  EXPECT_EQ(without_beta[0].count, 12);
  Layer zero_beta = random_layer(true, false, 22);
  std::fill(zero_beta.beta.begin(), zero_beta.beta.end(), 0.0);
  EXPECT_EQ(counts_for(zero_beta, {consumer("q", 12, false)})[0].family, Family::weight);
}

TEST(DeadParametersTest, CountsTheShiftOfBetaOnceForAllBareConsumers) {
  const auto counts =
      counts_for(random_layer(true, false, 23),
                 {consumer("q", 12, false), consumer("k", 4, false), consumer("up", 48, true)});
  EXPECT_EQ(counts[0].family, Family::weight_and_beta);
  EXPECT_EQ(counts[0].count, 12);  // hidden_size
  EXPECT_EQ(counts[1].family, Family::weight_and_beta);
  EXPECT_EQ(counts[1].count, 0);
  EXPECT_EQ(counts[2].count, 48);
}

TEST(DeadParametersTest, ClaimsNothingOfTiedWeights) {
  const auto tied =
      counts_for(random_layer(true, false, 24), {consumer("lm_head", 50, false, true)});
  EXPECT_EQ(tied[0].family, Family::none);
  EXPECT_EQ(tied[0].count, 0);
  // A shift of beta would reach the tied weight as well, so the other bare consumers cannot use it.
  const auto beside =
      counts_for(random_layer(true, false, 25),
                 {consumer("pooler", 12, false), consumer("lm_head", 50, false, true)});
  EXPECT_EQ(beside[0].count, 0);
}

TEST(DeadParametersTest, ClaimsNoShiftOfBetaThatTheResidualStreamWouldSee) {
  const auto feeds = [](NormSite& site) { site.feeds_residual = true; };
  EXPECT_EQ(counts_for(random_layer(true, false, 26), {consumer("q", 12, false)}, feeds)[0].family,
            Family::none);
  EXPECT_EQ(counts_for(random_layer(true, true, 27), {consumer("q", 12, true)}, feeds)[0].count,
            12);
}

TEST(DeadParametersTest, MerelyTinyScalesDoNotMultiplyTheCount) {
  Layer layer = random_layer(true, true, 29);
  layer.gamma[1] = 1e-12;
  layer.gamma[2] = 1e-13;
  const DeadSubspace subspace = predict(NormKind::layernorm, layer.gamma, layer.beta);
  ASSERT_EQ(subspace.dimension, 2);
  EXPECT_EQ(dead_parameters(site_of(layer, {consumer("q", 12, true)}), subspace)[0].count, 12);
}

TEST(DeadParametersTest, ZerosWithoutBiasLeaveAllButOneCombinationFree) {
  Layer layer = random_layer(true, false, 30);
  layer.gamma[1] = layer.gamma[2] = layer.gamma[3] = 0.0;
  const auto counts = counts_for(layer, {consumer("q", 7, false), consumer("k", 4, false)});
  EXPECT_EQ(counts[0].count, 2 * 7 + 12);  // two combinations with constant 0, and beta's shift
  EXPECT_EQ(counts[1].count, 2 * 4);
}

}  // namespace
}  // namespace deadray
