#include "kernels/operations/head_fisher.h"

#include <gtest/gtest.h>

#include "kernels/arithmetic/head_fisher_arithmetic.h"
#include "tests/kernels/operations/head_fisher_reference.h"

namespace deadray::kernels {
namespace {

constexpr double kHeadUnit = 0x1p-53;  // unit roundoff of FP64
constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::vector<double> fisher(const TestHead& head) {
  std::vector<double> out(static_cast<std::size_t>(head.n_tokens() * head.n_directions()), NAN);
  head_fisher(head.hidden.view(), head.weight.view(), head.arguments(), head.directions.data(),
              head.n_directions(), out.data());
  return out;
}

/// A dot product in eight lanes errs by (d/8 + 8) u of its magnitude, the rest of a logit and its
/// exponential by 8 u more; sums over a piece of 1024 and its merge by as many u.
void expect_agreement(const TestHead& head, const std::string& what) {
  const std::vector<double> got = fisher(head);
  const std::vector<std::vector<ReferenceFisher>> wants = reference_fisher(head);
  for (std::size_t t = 0; t < wants.size(); ++t) {
    const std::vector<ReferenceFisher>& want = wants[t];
    for (std::size_t k = 0; k < want.size(); ++k) {
      const double logit_error =
          (static_cast<double>(head.hidden.hidden_size) / 8 + 16) * kHeadUnit * want[k].size;
      const double rounding =
          (std::min<double>(1024, static_cast<double>(head.vocab())) + 64) * kHeadUnit;
      EXPECT_NEAR(got[t * want.size() + k], want[k].variance,
                  fisher_bound(head, want[k], logit_error, rounding))
          << what << ": token " << t << " direction " << k;
    }
  }
}

class HeadFisherTest : public ::testing::TestWithParam<std::tuple<ElementType, Rule>> {};

TEST_P(HeadFisherTest, AgreesWithLongDoubleWithinTheBound) {
  const auto [type, rule] = GetParam();
  for (const auto& [n_tokens, hidden_size, vocab, n_directions] :
       {std::tuple<int, int, int, int>{1, 1, 1, 1},
        {3, 7, 7, 3},
        {5, 64, 257, 8},
        {67, 33, 1000, 2},
        {2, 768, 2049, 3},
        {1, 16, 5000, 32}}) {
    TestHead head = random_head(n_tokens, hidden_size, vocab, n_directions, type);
    apply(rule, head);
    expect_agreement(head, std::to_string(hidden_size) + " x " + std::to_string(vocab));
  }
}

TEST_P(HeadFisherTest, LogitsInMemoryGiveTheSame) {
  const auto [type, rule] = GetParam();
  // One weight a token: what the type holds is the product.
  TestHead head = random_head(5, 1, 1500, 4, type);
  head.hidden = TestRows(type, 5, 1, 1);
  for (std::int64_t t = 0; t < 5; ++t)
    head.hidden.set(t, 0, std::ldexp(1.0, static_cast<int>(t) - 2));
  apply(rule, head);
  TestRows products(type, 5, 1500, 1503);
  for (std::int64_t t = 0; t < 5; ++t)
    for (std::int64_t i = 0; i < 1500; ++i)
      products.set(t, i, head.hidden.value(t, 0) * head.weight.value(i, 0));
  std::vector<double> got(5 * 4);
  logit_fisher(products.view(), head.arguments(), head.directions.data(), 4, got.data());
  EXPECT_EQ(got, fisher(head));
}

INSTANTIATE_TEST_SUITE_P(All, HeadFisherTest,
                         ::testing::Combine(::testing::Values(ElementType::float32,
                                                              ElementType::float64,
                                                              ElementType::bfloat16),
                                            ::testing::Values(Rule::plain, Rule::bias, Rule::scale,
                                                              Rule::soft_cap, Rule::all)));

// The softmax is blind to a constant: dead in every model. With a cap it is not constant any more.
TEST(HeadFisherExtremesTest, ConstantDirectionIsDeadUnlessLogitsAreCapped) {
  TestHead head = random_head(9, 64, 1500, 1, ElementType::float32);
  for (const double constant : {1.0, 0.1, -1e30, 0.0}) {
    head.directions.assign(1500, constant);
    for (const double value : fisher(head)) EXPECT_EQ(value, 0.0) << constant;
  }
  head.directions.assign(1500, 1.0);
  head.soft_cap = 3.0;
  for (const double value : fisher(head)) EXPECT_GT(value, 1e-4);  // no bound: plainly not dead
}

TEST(HeadFisherExtremesTest, ResolvesNoiseOnAConstant) {
  for (const double noise : {1e-3, 1e-9}) {
    TestHead head = random_head(4, 64, 1500, 2, ElementType::float32);
    for (double& u : head.directions) u = 1.0 + noise * u;  // rounds u: the reference sees the same
    expect_agreement(head, "noise " + std::to_string(noise));
  }
}

TEST(HeadFisherExtremesTest, ScaleOfTheDirectionSquares) {
  for (const double scale : {0x1p-500, 0x1p-100, 0x1p100, 0x1p500}) {
    TestHead head = random_head(3, 64, 1500, 2, ElementType::float32);
    const std::vector<double> before = fisher(head);
    for (double& u : head.directions) u *= scale;
    const std::vector<double> after = fisher(head);
    for (std::size_t i = 0; i < before.size(); ++i) EXPECT_EQ(after[i], before[i] * scale * scale);
  }
}

/// A head of hidden size 1 whose logits are the weights.
TestHead head_of_logits(const std::vector<double>& logits, std::int64_t n_directions) {
  const auto vocab = static_cast<std::int64_t>(logits.size());
  TestHead head = random_head(1, 1, vocab, n_directions, ElementType::float64);
  head.hidden.set(0, 0, 1.0);
  for (std::int64_t i = 0; i < vocab; ++i)
    head.weight.set(i, 0, logits[static_cast<std::size_t>(i)]);
  return head;
}

TEST(HeadFisherExtremesTest, LogitsOfTenThousandAreOneHot) {
  std::vector<double> logits(1500, -1e4);
  logits[1234] = 1e4;
  for (const double value : fisher(head_of_logits(logits, 3))) EXPECT_EQ(value, 0.0);
  logits[7] = 1e4;  // two of them: the variance of two equal values, (u_a - u_b)^2 / 4
  const TestHead two = head_of_logits(logits, 3);
  const std::vector<double> got = fisher(two);
  for (std::size_t k = 0; k < 3; ++k) {
    const double a = two.directions[k * 1500 + 7], b = two.directions[k * 1500 + 1234],
                 step = a - b;
    // Each value is rounded three times on its way into the frame and out, the square four times.
    const double off = 3 * kHeadUnit * (std::fabs(a) + std::fabs(b));
    EXPECT_NEAR(got[k], step * step / 4, std::fabs(step) * off / 2 + kHeadUnit * step * step);
  }
}

// 1 - p = 1e-5 … 1e-43: the sums over all entries would round it away; those without the champion
// keep every digit.
TEST(HeadFisherExtremesTest, NearlyOneHotSoftmaxKeepsItsRelativeAccuracy) {
  for (const double gap : {20.0, 40.0, 100.0}) {
    std::vector<double> logits(1500);
    for (std::size_t i = 0; i < logits.size(); ++i) logits[i] = std::sin(static_cast<double>(i));
    logits[1100] = gap;
    const TestHead head = head_of_logits(logits, 2);
    const std::vector<double> got = fisher(head);
    for (std::size_t k = 0; k < 2; ++k) {
      const double want = reference_fisher(head)[0][k].variance;
      // logits of up to 100 are exact here, their differences to u 100; 1500 terms of each sum
      EXPECT_NEAR(got[k], want, (2 * 100 + 1500) * kHeadUnit * want) << gap;
    }
  }
}

TEST(HeadFisherExtremesTest, EqualLogitsGiveThePlainVariance) {
  expect_agreement(head_of_logits(std::vector<double>(1500, 7.5), 3), "equal");
}

TEST(HeadFisherExtremesTest, MaskedEntriesDoNotCount) {
  for (const double soft_cap : {0.0, 3.0}) {
    TestHead head = random_head(3, 32, 3000, 2, ElementType::float64);
    head.soft_cap = soft_cap;
    head.bias = random_bias(3000);
    for (std::size_t i = 0; i < 3000; ++i)
      if (i < 1100 || i % 7 == 0) head.bias[i] = -kInfinity;  // a whole piece among them
    expect_agreement(head, "masked");
    head.bias.assign(3000, -kInfinity);
    for (const double value : fisher(head)) EXPECT_EQ(value, 0.0);
  }
}

TEST(HeadFisherExtremesTest, OneHugeRowOfTheWeight) {
  TestHead head = random_head(4, 32, 1500, 2, ElementType::float32);
  for (std::int64_t j = 0; j < 32; ++j)
    head.weight.set(600, j, 1e30);  // one-hot, for or against that entry
  expect_agreement(head, "huge row");
}

TEST(HeadFisherExtremesTest, NanStaysNan) {
  TestHead head = random_head(2, 32, 1500, 2, ElementType::float32);
  head.hidden.set(1, 3, NAN);
  const std::vector<double> got = fisher(head);
  EXPECT_TRUE(std::isfinite(got[0]) && std::isfinite(got[1]));
  EXPECT_TRUE(std::isnan(got[2]) && std::isnan(got[3]));
}

TEST(HeadFisherExtremesTest, NothingToDo) {
  TestHead head = random_head(2, 3, 5, 1, ElementType::float32);
  double untouched = 42.0;
  head_fisher(head.hidden.view().slice(0, 0), head.weight.view(), {}, head.directions.data(), 1,
              &untouched);
  head_fisher(head.hidden.view(), head.weight.view(), {}, nullptr, 0, &untouched);
  EXPECT_EQ(untouched, 42.0);
  std::vector<double> none(2, NAN);  // an empty vocabulary
  head_fisher(head.hidden.view(), head.weight.view().slice(0, 0), {}, nullptr, 1, none.data());
  EXPECT_EQ(none, std::vector<double>(2, 0.0));
}

template <typename Real>
class CappedLogitTest : public ::testing::Test {};
using Reals = ::testing::Types<float, double>;
TYPED_TEST_SUITE(CappedLogitTest, Reals);

TYPED_TEST(CappedLogitTest, ValueAndSlopeKeepTheirDigitsIntoSaturation) {
  const auto unit = static_cast<double>(std::numeric_limits<TypeParam>::epsilon());
  const auto rule = logit_rule<TypeParam>(1.0, 30.0);
  for (const double z : {0.0, 1e-6, 0.5, -29.0, 100.0, -300.0, 600.0}) {
    const Logit<TypeParam> got = capped_logit(static_cast<TypeParam>(z), rule);
    const long double x = static_cast<long double>(static_cast<TypeParam>(z)) / 30;
    const auto value = static_cast<double>(30 * std::tanh(x)),
               slope = static_cast<double>(1 / (std::cosh(x) * std::cosh(x)));
    // In units in the last place: x errs by 1, libm's tanh by 2, the product by 1/2.
    EXPECT_NEAR(got.value, value, 4 * unit * std::fabs(value)) << z;
    // That of x makes exp(-2 x) err by 2 x, twice where it is squared; all else rounds within 8.
    EXPECT_NEAR(got.slope, slope, (8 + 4 * std::fabs(z) / 30) * unit * slope) << z;
  }
  const auto infinity = std::numeric_limits<TypeParam>::infinity();
  EXPECT_EQ(capped_logit(-infinity, rule).value, -infinity);  // masked
  EXPECT_EQ(capped_logit(-infinity, rule).slope, TypeParam{0});
  EXPECT_EQ(capped_logit(infinity, rule).value, TypeParam{30});
}

TEST(DirectionFrameTest, ConstantIsExactlyItsReference) {
  for (const double constant : {0.1, 1.0, -1e30, 1e-300}) {
    const DirectionFrame frame = direction_frame(constant, 0.0, 0.0, 1500);
    EXPECT_EQ(frame.delta(constant), 0.0);
    EXPECT_LE(std::fabs(frame.ratio()), 0x1p40);
  }
  EXPECT_EQ(direction_frame(0.0, 0.0, 0.0, 1500).delta(0.0), 0.0);
}

TEST(SoftmaxMomentsTest, PiecesMergeInAnyOrderAndWithNothing) {
  SoftmaxMoments whole, pieces[3];
  const double logits[] = {-3.0, 700.0, 699.0, -2000.0}, values[] = {1.0, 2.0, 5.0, 1e6};
  for (std::size_t i = 0; i < 4; ++i) {
    const SoftmaxMoments one = piece_moments({logits[i], 1.0}, values[i], 0.0, 0.0, 0.0, 0.0);
    whole.merge(one);
    pieces[i % 3].merge(one);
  }
  for (const int i : {2, 0, 1}) pieces[2].merge(i == 2 ? SoftmaxMoments{} : pieces[i]);
  const double p = 1 / (1 + std::exp(-1.0)), want = p * (1 - p) * 9;
  // Two exponentials and two merges: not more than 16 roundings on the way of any value.
  EXPECT_NEAR(whole.moments.variance(), want, 16 * kHeadUnit * want);
  EXPECT_NEAR(pieces[2].moments.variance(), want, 16 * kHeadUnit * want);
  EXPECT_EQ(whole.maximum, 700.0);
  EXPECT_EQ(SoftmaxMoments{}.variance(1.0, {0.0, 1.0}), 0.0);
}

}  // namespace
}  // namespace deadray::kernels
