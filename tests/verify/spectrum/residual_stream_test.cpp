#include "verify/spectrum/residual_stream.h"

#include <gtest/gtest.h>

#include <cmath>

#include "host/base/error.h"
#include "tests/support/thread_ranks.h"
#include "tests/verify/spectrum/spectra.h"

namespace deadray {
namespace {

using namespace testing;
using Node = ResidualStream::Node;

constexpr std::int64_t kTokens = 200, kHidden = 20;
/// sigma_min^2 is an eigenvalue of the Gram, known to 1e-4 (what certify() promises), sigma_min
/// itself to half of that. A ratio of two of them has twice the error of one.
constexpr double kRelative = 1e-4;

/// [N, d] with the given smallest singular value, others in [1, 2], columns orthogonal to 1 (so
/// that centring changes nothing).
at::Tensor with_smallest(double sigma, std::uint64_t seed) {
  const at::Tensor ones = at::ones({kTokens, 1}, fp64());
  const at::Tensor left =
      std::get<0>(at::linalg_qr(at::cat({ones, gaussian(kTokens, kHidden, seed)}, 1)))
          .narrow(1, 1, kHidden);
  const at::Tensor values = at::linspace(1, 2, kHidden, fp64());
  values[0].fill_(sigma);
  return (left * values).mm(orthogonal(kHidden, seed + 1).t());
}

TEST(ResidualStreamTest, FindsKnownSingularValues) {
  ResidualStream stream;
  for (const double sigma : {1e-3, 0.5, 1.0}) stream.add(with_smallest(sigma, 61));
  const ResidualSpectrum s = stream.finish();
  for (const auto& values : {s.centred, s.uncentred}) {
    EXPECT_NEAR(values[0], 1e-3, 1e-3 * kRelative);
    EXPECT_NEAR(values[1], 0.5, 0.5 * kRelative);
    EXPECT_NEAR(values[2], 1.0, 1.0 * kRelative);
  }
  EXPECT_NEAR(s.ratio[1], 500, 500 * 2 * kRelative);
  EXPECT_EQ(s.preserved, true);
}

TEST(ResidualStreamTest, TellsCentredFromUncentred) {
  // Column 0 is constant: nothing of it is left by centring. The others are orthogonal to it.
  const at::Tensor x = with_smallest(1.0, 63).mm(orthogonal(kHidden, 64));
  const at::Tensor flat = std::get<0>(at::linalg_qr(at::cat(
                              {at::ones({kTokens, 1}, fp64()), x.narrow(1, 1, kHidden - 1)}, 1))) *
                          3;
  ResidualStream stream;
  stream.add(flat);
  const ResidualSpectrum s = stream.finish();
  EXPECT_NEAR(s.uncentred[0], 3, 3 * kRelative);
  EXPECT_EQ(s.centred[0], 0.0);
}

TEST(ResidualStreamTest, IsNotPreservedWhereOneNodeFallsBelowTheFirst) {
  ResidualStream stream;
  for (const double sigma : {0.5, 0.8, 0.4, 0.9}) stream.add(with_smallest(sigma, 65));
  const ResidualSpectrum s = stream.finish();
  EXPECT_EQ(s.preserved, false);
  EXPECT_NE(s.reason.find("node 2"), std::string::npos) << s.reason;
}

TEST(ResidualStreamTest, LeavesLayerNormOutputsOut) {
  ResidualStream stream;
  stream.add(normalised(gaussian(kTokens, kHidden, 66)), Node::layernorm_output);
  stream.add(with_smallest(0.5, 67));
  stream.add(normalised(gaussian(kTokens, kHidden, 68)), Node::layernorm_output);
  stream.add(with_smallest(0.6, 69));
  const ResidualSpectrum s = stream.finish();
  EXPECT_EQ(s.excluded, (std::vector<std::int64_t>{0, 2}));
  EXPECT_EQ(s.preserved, true);
  EXPECT_EQ(s.reference, 1);
  EXPECT_NEAR(s.ratio[3], 1.2, 1.2 * 2 * kRelative);
  EXPECT_TRUE(std::isnan(s.ratio[0]) && std::isnan(s.ratio[2]))
      << "no ratio of what is 0 by construction";
  ASSERT_EQ(s.steps.size(), 4U);
  for (const double step : s.steps)
    EXPECT_TRUE(std::isnan(step)) << "an excluded node stands beside each";
  EXPECT_EQ(s.centred[0], 0.0);
}

TEST(ResidualStreamTest, HasTheRatioOfEachStepBesideThatToTheFirstNode) {
  ResidualStream stream;
  for (const double sigma : {0.5, 0.8, 0.4}) stream.add(with_smallest(sigma, 78));
  stream.add(normalised(gaussian(kTokens, kHidden, 79)), Node::layernorm_output);
  stream.add(with_smallest(0.6, 80));
  const ResidualSpectrum s = stream.finish();
  EXPECT_EQ(s.reference, 0);
  ASSERT_EQ(s.steps.size(), 5U);
  EXPECT_TRUE(std::isnan(s.steps[0])) << "no node before it";
  EXPECT_NEAR(s.steps[1], 1.6, 1.6 * 2 * kRelative);
  EXPECT_NEAR(s.steps[2], 0.5, 0.5 * 2 * kRelative);
  EXPECT_TRUE(std::isnan(s.steps[3]) && std::isnan(s.steps[4]));
  EXPECT_NEAR(s.ratio[4], 1.2, 1.2 * 2 * kRelative);
}

TEST(ResidualStreamTest, TakesFloat32) {
  ResidualStream stream;
  stream.add(with_smallest(0.5, 70).to(at::kFloat));
  // each entry, at most 2, rounded at 2^-24: a perturbation of norm sqrt(N d) 2^-23 at most
  EXPECT_NEAR(stream.finish().uncentred[0], 0.5,
              0.5 * kRelative + std::sqrt(kTokens * kHidden) * 0x1p-23);
}

TEST(ResidualStreamTest, IsUndefinedWithTooFewTokens) {
  ResidualStream stream;
  stream.add(gaussian(kHidden, kHidden, 71));
  const ResidualSpectrum s = stream.finish();
  EXPECT_EQ(s.uncentred[0], 0.0);
  EXPECT_FALSE(s.preserved);
  EXPECT_TRUE(s.ratio.empty() && s.steps.empty());
  EXPECT_FALSE(s.reference);
  EXPECT_NE(s.reason.find("20 tokens for hidden_size 20"), std::string::npos) << s.reason;
}

TEST(ResidualStreamTest, IsUndefinedWithoutAFirstNode) {
  EXPECT_FALSE(ResidualStream{}.finish().preserved);
  ResidualStream zero;
  for (int i = 0; i < 2; ++i) zero.add(at::zeros({kTokens, kHidden}, fp64()));
  EXPECT_FALSE(zero.finish().preserved);
  EXPECT_FALSE(zero.finish().rank);
}

/// [N, d] of the given rank whose singular values are `sigma`, in the row space of `rows`.
at::Tensor of_rank(std::int64_t rank, double sigma, const at::Tensor& rows, std::uint64_t seed) {
  const at::Tensor left = std::get<0>(at::linalg_qr(gaussian(kTokens, rank, seed)));
  return (left * sigma).mm(rows.narrow(0, 0, rank));
}

TEST(ResidualStreamTest, TakesTheRatioOverTheDirectionsOfAFirstNodeOfLowerRank) {
  const at::Tensor rows = orthogonal(kHidden, 81);
  ResidualStream stream;
  stream.add(of_rank(3, 2.0, rows, 82));
  stream.add(of_rank(3, 3.0, rows, 83));
  stream.add(of_rank(kHidden, 2.5, rows, 84));
  const ResidualSpectrum s = stream.finish();
  EXPECT_EQ(s.rank, 3);
  EXPECT_EQ(s.reference, 0);
  EXPECT_EQ(s.uncentred[0], 0.0);
  EXPECT_NEAR(s.restricted[0], 2.0, 2.0 * kRelative);
  EXPECT_NEAR(s.ratio[1], 1.5, 1.5 * 2 * kRelative);
  EXPECT_NEAR(s.ratio[2], 1.25, 1.25 * 2 * kRelative);
  EXPECT_NEAR(s.steps[2], 2.5 / 3, 2.5 / 3 * 2 * kRelative);
  EXPECT_EQ(s.preserved, true);
  EXPECT_NE(s.reason.find("3 of 20 directions that X_0 has"), std::string::npos) << s.reason;
}

// The third singular value of the second node is larger than that of the first, but of another
// direction: one that the first had is lost.
TEST(ResidualStreamTest, DoesNotTakeAnotherDirectionForOneThatIsLost) {
  const at::Tensor rows = orthogonal(kHidden, 85);
  ResidualStream stream;
  stream.add(of_rank(3, 2.0, rows, 86));
  stream.add(of_rank(3, 3.0, rows.roll({-1}, {0}), 87));
  const ResidualSpectrum s = stream.finish();
  EXPECT_EQ(s.preserved, false);
  EXPECT_EQ(s.ratio[1], 0.0);
}

TEST(ResidualStreamTest, HasTheWholeRankAsARule) {
  ResidualStream stream;
  stream.add(with_smallest(0.5, 88));
  EXPECT_EQ(stream.finish().rank, kHidden);
  EXPECT_TRUE(stream.finish().restricted.empty());
}

TEST(ResidualStreamTest, HasNoRankWithoutAGap) {
  const at::Tensor values = at::pow(10.0, at::linspace(0, -16, kHidden, fp64()));
  const at::Tensor left = std::get<0>(at::linalg_qr(gaussian(kTokens, kHidden, 89)));
  ResidualStream stream;
  stream.add((left * values).mm(orthogonal(kHidden, 90)));
  EXPECT_FALSE(stream.finish().rank);
  EXPECT_FALSE(stream.finish().preserved);
  EXPECT_NE(stream.finish().reason.find("X_0"), std::string::npos) << stream.finish().reason;
}

// Words and positions in float32 leave their rounding in the directions that they do not have.
TEST(ResidualStreamTest, TakesTheRoundingOfFloat32ForNoDirection) {
  ResidualStream stream;
  for (int i = 0; i < 2; ++i)
    stream.add(of_rank(3, 2.0, orthogonal(kHidden, 91), 92).to(at::kFloat));
  EXPECT_EQ(stream.finish().rank, 3);
  EXPECT_EQ(stream.finish().preserved, true);
}

TEST(ResidualStreamTest, SaysWhichNodeIsNotFinite) {
  ResidualStream stream;
  stream.add(with_smallest(0.5, 74));
  const at::Tensor x = with_smallest(0.9, 75);
  x[3][4].fill_(std::nan(""));
  stream.add(x);
  const ResidualSpectrum s = stream.finish();
  EXPECT_FALSE(s.preserved);
  EXPECT_NE(s.reason.find("node 1"), std::string::npos) << s.reason;
}

TEST(ResidualStreamTest, RefusesANodeOfAnotherShape) {
  ResidualStream stream;
  stream.add(gaussian(50, 4, 76));
  EXPECT_THROW(stream.add(gaussian(50, 5, 77)), InternalError);
}

/// What `size` ranks find that share the rows of each node, on every rank the same.
ResidualSpectrum shared_out(int size, const std::vector<std::pair<at::Tensor, Node>>& nodes) {
  std::vector<ResidualSpectrum> of_each(static_cast<std::size_t>(size));
  test::ThreadRanks::run(size, [&](Communicator& ranks) {
    ResidualStream stream(cpu_backend(), ranks);
    for (const auto& [x, node] : nodes)
      stream.add(x.tensor_split(size)[static_cast<std::size_t>(ranks.rank())], node);
    of_each[static_cast<std::size_t>(ranks.rank())] = stream.finish();
  });
  for (const ResidualSpectrum& spectrum : of_each)
    EXPECT_EQ(spectrum.uncentred, of_each[0].uncentred);
  return of_each[0];
}

TEST(ResidualStreamTest, RanksFindWhatOneProcessFinds) {
  const at::Tensor full = with_smallest(0.5, 71), thin = full.clone();
  thin.narrow(1, 0, 3).zero_();  // a reference of rank 17: its row space is shared
  for (const at::Tensor& first : {full, thin}) {
    const std::vector<std::pair<at::Tensor, Node>> nodes{
        {with_smallest(1e-3, 72), Node::layernorm_output},
        {first, Node::stream},
        {with_smallest(0.7, 73), Node::stream},
        {with_smallest(0.2, 74), Node::stream}};
    ResidualStream alone;
    for (const auto& [x, node] : nodes) alone.add(x, node);
    const ResidualSpectrum want = alone.finish();
    for (const int size : {2, 3}) {
      const ResidualSpectrum got = shared_out(size, nodes);
      EXPECT_EQ(got.rank, want.rank);
      EXPECT_EQ(got.reference, want.reference);
      EXPECT_EQ(got.preserved, want.preserved);
      ASSERT_EQ(got.ratio.size(), want.ratio.size());
      for (std::size_t l = 1; l < want.ratio.size(); ++l)
        EXPECT_NEAR(got.ratio[l], want.ratio[l], 2 * kRelative * want.ratio[l]) << l;
    }
  }
}

}  // namespace
}  // namespace deadray
