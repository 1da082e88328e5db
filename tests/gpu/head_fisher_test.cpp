#include "kernels/operations/head_fisher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/gpu/device_rows.h"
#include "tests/kernels/operations/head_fisher_reference.h"

namespace deadray::kernels {
namespace {

using namespace deadray::testing;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

class HeadFisherGpuTest : public ::testing::TestWithParam<std::tuple<ElementType, Rule>> {};
class HeadFisherExtremesGpuTest : public ::testing::TestWithParam<ElementType> {};

std::size_t workspace_for(const TestHead& head) {
  return operations().head_fisher_workspace(head.n_tokens(), head.hidden.hidden_size, head.vocab(),
                                            head.n_directions());
}

std::vector<double> on_device(const TestHead& head, std::size_t workspace_bytes) {
  DeviceContext context;
  DeviceRows hidden(head.hidden), weight(head.weight);
  DeviceArray<double> bias(head.bias), directions(head.directions),
      out(std::vector<double>(static_cast<std::size_t>(head.n_tokens() * head.n_directions()),
                              NAN));
  DeviceArray<unsigned char> workspace(workspace_bytes);
  LogitArguments logits = head.arguments();
  logits.bias = head.bias.empty() ? nullptr : bias.data();
  operations().head_fisher(context, hidden.view(), weight.view(), logits, directions.data(),
                           head.n_directions(), out.data(), workspace.data(), workspace_bytes,
                           nullptr);
  return out.download();
}
std::vector<double> on_device(const TestHead& head) { return on_device(head, workspace_for(head)); }

/// What logit_fisher needs, which is all but the tiles, and the smallest tiles.
std::size_t least_workspace(const TestHead& head) {
  const std::size_t element = head.weight.type == ElementType::float64 ? 8 : 4,
                    tile = 256 * element * static_cast<std::size_t>(head.n_tokens());
  return operations().logit_fisher_workspace(head.vocab(), head.n_directions()) +
         2 * (tile + 255) / 256 * 256;
}

std::vector<double> on_cpu(const TestHead& head) {
  std::vector<double> out(static_cast<std::size_t>(head.n_tokens() * head.n_directions()));
  head_fisher(head.hidden.view(), head.weight.view(), head.arguments(), head.directions.data(),
              head.n_directions(), out.data());
  return out;
}

/// How far sums and derivatives may err relatively. On the device, for bf16 and FP32: sums over
/// runs of 16 entries and over a warp by 21 u, u = 2^-24, and a weight of exp(-x) by (4 + 2.4 x) u,
/// 40 u at x = 15. FP64: u = 2^-53, and both sides merge pieces, of 1024 entries of the CPU's.
double rounding_for(ElementType type) {
  return type == ElementType::float64 ? (1024 + 64) * 0x1p-53 : 64 * 0x1p-24;
}

/// Logits err by the rounding of their products, at worst d u of their magnitude, and that of what
/// follows. u = 2^-24 for bf16 and FP32, twice that where tensor cores cut off.
void expect_agreement(const TestHead& head, const std::vector<double>& got,
                      const std::string& what) {
  const std::vector<double> cpu = on_cpu(head);
  const double unit = head.weight.type == ElementType::float64 ? 0x1p-53 : 0x1p-23,
               rounding = rounding_for(head.weight.type);
  const std::vector<std::vector<ReferenceFisher>> wants = reference_fisher(head);
  for (std::size_t t = 0; t < wants.size(); ++t) {
    const std::vector<ReferenceFisher>& want = wants[t];
    for (std::size_t k = 0; k < want.size(); ++k) {
      const double logit_error =
          (static_cast<double>(head.hidden.hidden_size) + 16) * unit * (want[k].size + 1);
      const std::size_t at = t * want.size() + k;
      const double bound = fisher_bound(head, want[k], logit_error, rounding);
      EXPECT_NEAR(got[at], want[k].variance, bound)
          << what << ": token " << t << " direction " << k;
      EXPECT_NEAR(got[at], cpu[at], 2 * bound) << what << ": token " << t << " direction " << k;
    }
  }
}

std::string name_of(const TestHead& head) {
  return std::to_string(head.n_tokens()) + " x " + std::to_string(head.hidden.hidden_size) + " x " +
         std::to_string(head.vocab());
}

TEST_P(HeadFisherGpuTest, AgreesWithTheCpuAndLongDouble) {
  const auto [type, rule] = GetParam();
  using Sizes = std::tuple<int, int, int, int>;
  std::vector<Sizes> sizes = {{1, 1, 1, 1},     {3, 7, 7, 3},    {5, 33, 257, 8},
                              {2, 64, 1000, 1}, {1, 3, 5000, 2}, {1, 5, 300, 33}};
  if (!small_shapes()) {
    for (const Sizes& more : {Sizes{17, 768, 8191, 3},
                              {5, 64, 50257, 8},
                              {3, 33, 262144, 8},
                              {2049, 64, 1000, 1},
                              {3, 4096, 1000, 8},
                              {2, 8192, 1000, 32}})
      sizes.push_back(more);
  }
  for (const auto& [n_tokens, hidden_size, vocab, n_directions] : sizes) {
    TestHead head = random_head(n_tokens, hidden_size, vocab, n_directions, type);
    apply(rule, head);
    expect_agreement(head, on_device(head), name_of(head));
  }
}

// The two tiles in turn, each written again while the other is folded; in more than one group of
// directions.
TEST_P(HeadFisherGpuTest, ManySmallTilesGiveTheSame) {
  const auto [type, rule] = GetParam();
  TestHead head =
      small_shapes() ? random_head(3, 16, 1100, 2, type) : random_head(150, 64, 20000, 35, type);
  apply(rule, head);
  expect_agreement(head, on_device(head, least_workspace(head)), "small tiles");
}

TEST_P(HeadFisherGpuTest, RowsApartInMemory) {
  const auto [type, rule] = GetParam();
  TestHead head = random_head(3, 20, 300, 2, type);
  apply(rule, head);
  const std::vector<double> want = on_device(head);
  head.hidden = head.hidden.with_stride(27), head.weight = head.weight.with_stride(31);
  expect_agreement(head, on_device(head), "strided");
}

TEST_P(HeadFisherGpuTest, RepeatsBitForBit) {
  const auto [type, rule] = GetParam();
  TestHead head =
      small_shapes() ? random_head(5, 16, 600, 3, type) : random_head(700, 512, 50257, 8, type);
  apply(rule, head);
  const std::vector<double> once = on_device(head);
  for (int repetition = 0; repetition < (small_shapes() ? 1 : 5); ++repetition)
    EXPECT_EQ(on_device(head), once);
}

TEST_P(HeadFisherGpuTest, LogitsInMemoryGiveTheSame) {
  const auto [type, rule] = GetParam();
  const std::int64_t n_tokens = small_shapes() ? 5 : 300, vocab = small_shapes() ? 2500 : 50257;
  // One weight a token: what the type holds is the product.
  TestHead head = random_head(n_tokens, 1, vocab, 3, type);
  for (std::int64_t t = 0; t < n_tokens; ++t)
    head.hidden.set(t, 0, std::ldexp(1.0, static_cast<int>(t % 5) - 2));
  apply(rule, head);
  TestRows products(type, n_tokens, vocab, vocab + 3);
  for (std::int64_t t = 0; t < n_tokens; ++t)
    for (std::int64_t i = 0; i < vocab; ++i)
      products.set(t, i, head.hidden.value(t, 0) * head.weight.value(i, 0));
  DeviceRows rows(products);
  DeviceArray<double> bias(head.bias), directions(head.directions),
      out(static_cast<std::size_t>(3 * n_tokens));
  DeviceArray<unsigned char> workspace(operations().logit_fisher_workspace(vocab, 3));
  LogitArguments logits = head.arguments();
  logits.bias = head.bias.empty() ? nullptr : bias.data();
  operations().logit_fisher(rows.view(), logits, directions.data(), 3, out.data(), workspace.data(),
                            nullptr);
  const std::vector<double> got = out.download();
  const std::vector<std::vector<ReferenceFisher>> wants = reference_fisher(head);
  // Exact products; a logit is rounded three times, and where it is capped by tanh, to 2 units in
  // the last place. Sums as in expect_agreement.
  const double unit = type == ElementType::float64 ? 0x1p-53 : 0x1p-24;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const ReferenceFisher& want = wants[i / 3][i % 3];
    EXPECT_NEAR(got[i], want.variance,
                fisher_bound(head, want, 8 * unit * want.size, rounding_for(type)))
        << i;
  }
}

INSTANTIATE_TEST_SUITE_P(All, HeadFisherGpuTest,
                         ::testing::Combine(::testing::Values(ElementType::float32,
                                                              ElementType::float64,
                                                              ElementType::bfloat16),
                                            ::testing::Values(Rule::plain, Rule::bias, Rule::scale,
                                                              Rule::soft_cap, Rule::all)));

TEST_P(HeadFisherExtremesGpuTest, ConstantDirectionIsDeadUnlessLogitsAreCapped) {
  TestHead head = random_head(5, 16, 600, 2, GetParam());
  std::fill_n(head.directions.begin(), 600, 1.0);
  std::fill_n(head.directions.begin() + 600, 600, 0.1);
  for (const double value : on_device(head)) EXPECT_EQ(value, 0.0);
  head.soft_cap = 3.0;
  expect_agreement(head, on_device(head), "capped");
  for (const double value : on_device(head)) EXPECT_GT(value, 1e-5);
}

// Where FP32 sums of u itself would keep nothing (1e-3^2 against 2^-24) the frame keeps all digits:
// the bound knows no reference value.
TEST_P(HeadFisherExtremesGpuTest, ResolvesNoiseOnAConstant) {
  for (const double noise : {1e-3, 1e-6}) {
    TestHead head = random_head(4, 16, 600, 2, GetParam());
    for (double& u : head.directions) u = 1.0 + noise * u;
    expect_agreement(head, on_device(head), "noise");
  }
}

TEST_P(HeadFisherExtremesGpuTest, ScaleOfTheDirectionSquares) {
  for (const double scale : {0x1p-100, 0x1p100}) {
    TestHead head = random_head(3, 16, 600, 2, GetParam());
    const std::vector<double> before = on_device(head);
    for (double& u : head.directions) u *= scale;
    const std::vector<double> after = on_device(head);
    for (std::size_t i = 0; i < before.size(); ++i) EXPECT_EQ(after[i], before[i] * scale * scale);
  }
}

/// A head of hidden size 1 whose logits are the weights.
TestHead head_of_logits(const std::vector<double>& logits, ElementType type) {
  const auto vocab = static_cast<std::int64_t>(logits.size());
  TestHead head = random_head(1, 1, vocab, 2, type);
  head.hidden.set(0, 0, 1.0);
  for (std::int64_t i = 0; i < vocab; ++i)
    head.weight.set(i, 0, logits[static_cast<std::size_t>(i)]);
  return head;
}

TEST_P(HeadFisherExtremesGpuTest, LogitsOfTenThousandAreOneHot) {
  std::vector<double> logits(2500, -8192.0);
  logits[1234] = 8192.0;
  for (const double value : on_device(head_of_logits(logits, GetParam()))) EXPECT_EQ(value, 0.0);
  logits[7] = 8192.0;
  const TestHead two = head_of_logits(logits, GetParam());
  const std::vector<double> got = on_device(two), want = on_cpu(two);
  const double unit = GetParam() == ElementType::float64 ? 0x1p-53 : 0x1p-24;
  // Two equal weights: the variance is (u_a - u_b)^2 / 4, each u of up to 3 deviations rounded to
  // the type of the sums, and a few roundings of the sums.
  for (std::size_t k = 0; k < got.size(); ++k)
    EXPECT_NEAR(got[k], want[k], 16 * unit * (want[k] + 9));
}

// 1 - p = 1e-6 … 1e-15, below what FP32 sums over all entries resolve.
TEST_P(HeadFisherExtremesGpuTest, NearlyOneHotSoftmaxKeepsItsRelativeAccuracy) {
  for (const double gap : {20.0, 40.0}) {
    std::vector<double> logits(600);
    for (std::size_t i = 0; i < logits.size(); ++i)
      logits[i] = 0.25 * static_cast<double>(i % 5);  // exact in bf16
    logits[300] = gap;
    const TestHead head = head_of_logits(logits, GetParam());
    const std::vector<double> got = on_device(head), want = on_cpu(head);
    // On the device exp(-40) errs by 50 units in the last place, 100 u, and sums as in
    // expect_agreement; the CPU's sums of FP64 by their 600 terms.
    const double bound = GetParam() == ElementType::float64 ? (600 + 128) * 0x1p-53 : 128 * 0x1p-24;
    for (std::size_t k = 0; k < got.size(); ++k)
      EXPECT_NEAR(got[k], want[k], bound * want[k]) << gap;
  }
}

TEST_P(HeadFisherExtremesGpuTest, EqualLogits) {
  const TestHead head = head_of_logits(std::vector<double>(600, 7.5), GetParam());
  expect_agreement(head, on_device(head), "equal");
}

TEST_P(HeadFisherExtremesGpuTest, MaskedEntriesDoNotCount) {
  for (const double soft_cap : {0.0, 3.0}) {
    TestHead head = random_head(3, 8, 2500, 2, GetParam());
    head.soft_cap = soft_cap;
    head.bias = random_bias(2500);
    for (std::size_t i = 0; i < 2500; ++i)
      if (i < 2100 || i % 7 == 0) head.bias[i] = -kInfinity;  // a whole step among them
    expect_agreement(head, on_device(head), "masked");
    head.bias.assign(2500, -kInfinity);
    for (const double value : on_device(head)) EXPECT_EQ(value, 0.0);
  }
}

TEST_P(HeadFisherExtremesGpuTest, OneHugeRowOfTheWeight) {
  TestHead head = random_head(4, 8, 600, 2, GetParam());
  for (std::int64_t j = 0; j < 8; ++j)
    head.weight.set(300, j, 0x1p90);  // one-hot, for or against that entry
  expect_agreement(head, on_device(head), "huge row");
}

TEST_P(HeadFisherExtremesGpuTest, NanStaysNan) {
  TestHead head = random_head(2, 8, 600, 2, GetParam());
  head.hidden.set(1, 3, NAN);
  const std::vector<double> got = on_device(head);
  EXPECT_TRUE(std::isfinite(got[0]) && std::isfinite(got[1]));
  EXPECT_TRUE(std::isnan(got[2]) && std::isnan(got[3]));
}

TEST_P(HeadFisherExtremesGpuTest, TooSmallAWorkspaceIsRefused) {
  const TestHead head = random_head(3, 8, 600, 2, GetParam());
  for (const std::size_t bytes : {std::size_t{0}, least_workspace(head) / 8}) {
    try {
      on_device(head, bytes);
      FAIL() << "took " << bytes << " bytes";
    } catch (const CudaError& error) {
      EXPECT_NE(std::string(error.what()).find("workspace of"), std::string::npos) << error.what();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, HeadFisherExtremesGpuTest,
                         ::testing::Values(ElementType::float32, ElementType::float64,
                                           ElementType::bfloat16));

TEST(HeadFisherWorkspaceGpuTest, StaysWithinItsBoundWhateverTheTokensAndDirections) {
  for (const std::int64_t n_tokens : {1, 1500, 8192, 1'000'000})
    for (const std::int64_t vocab : {1, 50257, 131072, 262144})
      for (const std::int64_t n_directions : {1, 8, 32, 1000})
        EXPECT_LE(operations().head_fisher_workspace(n_tokens, 4096, vocab, n_directions),
                  std::size_t{192} << 20);
}

// More tokens than a tile holds; small in all else, for the emulation's sake.
TEST(HeadFisherWorkspaceGpuTest, ManyTokens) {
  TestHead head = random_head(2051, 2, 9, 1, ElementType::float32);
  expect_agreement(head, on_device(head), "many tokens");
}

}  // namespace
}  // namespace deadray::kernels
