#include "verify/measure/probe_group.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "tests/verify/measure/norm_rows.h"

namespace deadray {
namespace {

using namespace testing;

constexpr std::int64_t kWidth = 48, kRows = 600, kTile = 200, kNorms = 11;

/// Eleven LayerNorms over rows that pass them; two of them read the same.
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
      const at::Tensor gamma = gaussian(1, kWidth, 100 + i).squeeze(0);
      norm.parameters.gamma = vector_of(gamma);
      norm.input = i == 1 ? norms_[0].input : gaussian(kRows, kWidth, i).to(at::kFloat);
      norm.output = normalised(norm.input.to(at::kDouble), 1e-5).mul(gamma).to(at::kFloat);
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
        group.reserve(tiles.back());
      }
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
        ASSERT_TRUE(results[i].schur_input);
        EXPECT_NEAR(*results[i].schur_input, *expected.schur_input, 1e-10) << threads;
      }
    }
  }
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
  at::set_num_threads(threads);
}

}  // namespace
}  // namespace deadray
