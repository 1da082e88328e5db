#include "verify/probe/probe_group.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "tests/verify/probe/norm_rows.h"

namespace deadray {
namespace {

using namespace testing;

constexpr std::int64_t kWidth = 48, kRows = 600, kTile = 200, kNorms = 11, kThin = 4;

/// Eleven LayerNorms over rows that pass them. Two read the same rows. One has a scale of 0, so no
/// v*, and rows that span 30 dimensions: it asks for the moments of its input only at the end.
class ProbeGroupTest : public ::testing::Test {
 protected:
  struct Norm {
    NormSite site;
    NormParameters parameters;
    at::Tensor input, output;
  };

  ProbeGroupTest() {
    for (std::int64_t i = 0; i < kNorms; ++i) {
      Norm norm;
      norm.site.name = "norm." + std::to_string(i);
      norm.site.hidden_size = kWidth;
      norm.site.eps = 1e-5;
      at::Tensor gamma = gaussian(1, kWidth, 100 + i).squeeze(0);
      if (i == kThin) gamma[5].fill_(0.0);
      norm.parameters.gamma = vector_of(gamma);
      norm.input = i == 1       ? norms_[0].input
                   : i == kThin ? gaussian(kRows, 30, i).mm(gaussian(30, kWidth, 50))
                                : gaussian(kRows, kWidth, i);
      norm.output = normalised(norm.input, 1e-5).mul(gamma);
      norms_.push_back(norm);
    }
  }
  ~ProbeGroupTest() override { at::set_num_threads(threads_); }

  std::vector<SiteResult> together(const ProbeOptions& options) {
    ProbeGroup group(options, cpu_backend());
    for (const Norm& norm : norms_) group.begin(norm.site, norm.parameters);
    for (std::int64_t first = 0; first < kRows; first += kTile) {
      std::vector<NormTile> tiles;
      for (const Norm& norm : norms_) {
        // Norms that read the same rows are given the same tensor.
        const bool shared = !tiles.empty() && norm.input.is_same(norms_[0].input);
        const at::Tensor input = shared ? tiles[0].input : norm.input.narrow(0, first, kTile);
        tiles.push_back({norm.site.name, input, norm.output.narrow(0, first, kTile)});
      }
      group.reserve(tiles);
      group.add(tiles);
    }
    for (const Norm& norm : norms_) group.finish(norm.site.name);
    EXPECT_FALSE(group.has("norm.0"));
    return group.take().sites;
  }
  SiteResult alone(const Norm& norm, const ProbeOptions& options) {
    SiteProbe probe(norm.site, norm.parameters, options);
    for (std::int64_t first = 0; first < kRows; first += kTile)
      probe.add(norm.input.narrow(0, first, kTile), norm.output.narrow(0, first, kTile));
    return probe.finish();
  }

  int threads_ = at::get_num_threads();
  std::vector<Norm> norms_;
};

// LAPACK's drivers round in another order on other numbers of threads: eigenvalues by d u lambda_d.
TEST_F(ProbeGroupTest, FindsWhatEachProbeFindsAlone) {
  for (const int threads : {1, 2, 4}) {
    at::set_num_threads(threads);
    for (const bool side_by_side : {true, false}) {
      ProbeOptions options;
      options.side_by_side = side_by_side;
      const std::vector<SiteResult> results = together(options);
      ASSERT_EQ(results.size(), norms_.size());
      EXPECT_GT(results[kThin].inherited, 0);
      EXPECT_FALSE(results[kThin].schur_input);
      EXPECT_TRUE(results[0].schur_input);
      for (std::size_t i = 0; i < results.size(); ++i) {
        const SiteResult expected = alone(norms_[i], options);
        EXPECT_EQ(results[i].site.name, norms_[i].site.name) << "in the order of finish()";
        EXPECT_EQ(results[i].judgement.verdict, expected.judgement.verdict);
        for (const auto reading : {&SiteResult::exact, &SiteResult::deployed}) {
          const Reading &got = *(results[i].*reading), &want = *(expected.*reading);
          EXPECT_EQ(got.tokens, kRows);
          ASSERT_EQ(got.spectrum.size(), want.spectrum.size());
          for (std::size_t k = 0; k < got.spectrum.size(); ++k)
            EXPECT_NEAR(got.spectrum[k], want.spectrum[k], 1e-13 * want.eigenvalues.last);
        }
        EXPECT_EQ(results[i].inherited, expected.inherited);
        ASSERT_EQ(results[i].schur_input.has_value(), expected.schur_input.has_value());
        if (expected.schur_input) {
          EXPECT_NEAR(*results[i].schur_input, *expected.schur_input, 1e-10) << threads;
        }
      }
    }
  }
}

TEST_F(ProbeGroupTest, NormsThatReadTheSameRowsAddThemOnce) {
  SiteProbe first(norms_[0].site, norms_[0].parameters, {}),
      second(norms_[1].site, norms_[1].parameters, {}),
      late(norms_[1].site, norms_[1].parameters, {});
  const auto pieces = [&](SiteProbe& probe) {
    std::vector<Work> work;
    probe.reserve(norms_[0].input, norms_[0].output);
    probe.add(norms_[0].input, norms_[0].output, work);
    run_in_order(work);
    return work.size();
  };
  first.reserve(norms_[0].input, norms_[0].output);
  second.share_input_of(first);
  EXPECT_EQ(pieces(first), 3U) << "input, exact, deployed";
  EXPECT_EQ(pieces(second), 2U);
  late.share_input_of(first);
  EXPECT_EQ(pieces(late), 3U) << "rows that have come would be missing";
  EXPECT_EQ(second.finish().schur_input, late.finish().schur_input) << "the same rows, once";
}

TEST_F(ProbeGroupTest, MeasuresNothingOfAnUnknownNorm) {
  ProbeGroup group({}, cpu_backend());
  group.finish("norm.0");
  EXPECT_TRUE(group.take().sites.empty());
}

TEST(GroupBytesTest, BoundWhatWaitsAndWhatIsDecomposedAtOnce) {
  const int threads = at::get_num_threads();
  at::set_num_threads(2);
  const auto bytes = [](double kept, std::int64_t norms, bool side_by_side) {
    const GroupBytes group = bytes_of_group(kept, norms, side_by_side);
    return std::pair(group.waiting, group.decomposed);
  };
  constexpr double kMiB = 1024 * 1024;
  EXPECT_EQ(bytes(8 * kMiB, 61, true), std::pair(4 * 8 * kMiB, std::int64_t{2}));
  EXPECT_EQ(bytes(8 * kMiB, 61, false), std::pair(0.0, std::int64_t{1}));
  EXPECT_EQ(bytes(400 * kMiB, 61, true), std::pair(400 * kMiB, std::int64_t{2}))
      << "one at a time: its two readings";
  EXPECT_EQ(bytes(8 * kMiB, 1, true), std::pair(8 * kMiB, std::int64_t{2}));
  EXPECT_EQ(bytes(0, 61, true), std::pair(0.0, std::int64_t{1})) << "no covariance is formed";
  EXPECT_EQ(tasks_at_once(2, true), 2);
  EXPECT_EQ(tasks_at_once(2, false), 1);
  at::set_num_threads(4);
  EXPECT_EQ(bytes(14 * kMiB, 61, true), std::pair(5 * 14 * kMiB, std::int64_t{4}))
      << "five run one by one, but the last four at once";
  EXPECT_EQ(bytes(400 * kMiB, 61, true), std::pair(400 * kMiB, std::int64_t{1}))
      << "two readings do not fill four threads: all threads are inside each";
  at::set_num_threads(threads);
}

}  // namespace
}  // namespace deadray
