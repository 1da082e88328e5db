#include "kernels/operations/random_normal.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "kernels/arithmetic/normal_arithmetic.h"
#include "kernels/arithmetic/philox.h"

namespace deadray::kernels {
namespace {

constexpr std::uint64_t kSeed = 20240607;

std::vector<float> draw(std::uint64_t seed, std::uint64_t stream, std::int64_t first,
                        std::int64_t count, float deviation = 1.0f) {
  std::vector<float> values(static_cast<std::size_t>(count));
  random_normal(seed, stream, first, count, deviation, values.data());
  return values;
}

std::uint64_t sample_stream() { return stream_of("h.0.attn.c_attn.weight"); }

/// Ten million draws, made once.
const std::vector<float>& sample() {
  static const std::vector<float> values = draw(kSeed, sample_stream(), 0, 10'000'000);
  return values;
}

bool same_bits(const float* a, const float* b, std::size_t count) {
  return std::memcmp(a, b, count * sizeof(float)) == 0;
}

TEST(RandomNormalTest, AnySplitGivesTheSameBits) {
  constexpr std::int64_t kCount = 1000;
  const std::vector<float> whole = draw(kSeed, 5, 0, kCount);
  for (const std::int64_t piece : {1, 3, 16, 63, 64, 65, 200, 999}) {
    std::vector<float> pieces(whole.size(), -1.0f);
    for (std::int64_t first = 0; first < kCount; first += piece) {
      random_normal(kSeed, 5, first, std::min(piece, kCount - first), 1.0f, pieces.data() + first);
    }
    EXPECT_TRUE(same_bits(pieces.data(), whole.data(), whole.size())) << "pieces of " << piece;
  }
}

TEST(RandomNormalTest, ThreadsGiveTheSameBits) {
  std::vector<float> together(100'003);
  const std::int64_t half = 50'001;
  std::thread other([&] { random_normal(kSeed, 5, 0, half, 1.0f, together.data()); });
  random_normal(kSeed, 5, half, static_cast<std::int64_t>(together.size()) - half, 1.0f,
                together.data() + half);
  other.join();
  EXPECT_TRUE(same_bits(together.data(), draw(kSeed, 5, 0, 100'003).data(), together.size()));
}

TEST(RandomNormalTest, WritesNothingBesideItsRange) {
  std::vector<float> guarded(100, 77.0f);
  random_normal(kSeed, 5, 30, 50, 1.0f, guarded.data() + 10);
  EXPECT_TRUE(
      std::all_of(guarded.begin(), guarded.begin() + 10, [](float x) { return x == 77.0f; }));
  EXPECT_TRUE(std::all_of(guarded.begin() + 60, guarded.end(), [](float x) { return x == 77.0f; }));
  random_normal(kSeed, 5, 30, 0, 1.0f, nullptr);  // nothing asked, nothing touched
}

TEST(RandomNormalTest, ElementsFarBeyondFourBillionDiffer) {
  const std::int64_t far = std::int64_t{1} << 40;
  EXPECT_NE(draw(kSeed, 5, 0, 64), draw(kSeed, 5, far, 64));
  EXPECT_EQ(draw(kSeed, 5, far + 7, 9), [&] {
    const std::vector<float> whole = draw(kSeed, 5, far, 64);
    return std::vector<float>(whole.begin() + 7, whole.begin() + 16);
  }());
}

// random_normal runs the widest instructions that the machine has, this loop the plain ones: what
// IEEE 754 fixes is equal to the last bit.
TEST(RandomNormalTest, EveryInstructionSetGivesTheSameBits) {
  for (std::int64_t i = 0; i < 100'000; ++i) {
    const std::int64_t group = i / kRandomGroup, part = i % kRandomGroup / kRandomLanes;
    const PhiloxWords words =
        random_words(kSeed, sample_stream(), group, static_cast<int>(i % kRandomLanes));
    const NormalPair pair =
        part < 2 ? box_muller(words.w0, words.w1, 1.0f) : box_muller(words.w2, words.w3, 1.0f);
    const float want = part % 2 == 0 ? pair.first : pair.second;
    ASSERT_TRUE(same_bits(&sample()[static_cast<std::size_t>(i)], &want, 1)) << "element " << i;
  }
}

// Mean, variance, skewness and kurtosis, each within 5 standard errors of its value for independent
// N(0, 1): sqrt(1/n), sqrt(2/n), sqrt(6/n), sqrt(24/n). The latter two are about the sample's own
// mean, the kurtosis in units of its own variance.
TEST(RandomNormalTest, MomentsAreThoseOfTheNormal) {
  const auto n = static_cast<double>(sample().size());
  double powers[5] = {};
  for (const float value : sample()) {
    const double x = value, square = x * x;
    powers[1] += x, powers[2] += square, powers[3] += square * x, powers[4] += square * square;
  }
  const double mean = powers[1] / n, variance = powers[2] / n - mean * mean;
  const double skewness = powers[3] / n - 3 * mean * powers[2] / n + 2 * mean * mean * mean;
  EXPECT_NEAR(mean, 0.0, 5 * std::sqrt(1 / n));
  EXPECT_NEAR(variance, 1.0, 5 * std::sqrt(2 / n));
  EXPECT_NEAR(skewness, 0.0, 5 * std::sqrt(6 / n));
  EXPECT_NEAR(powers[4] / n / (variance * variance), 3.0, 5 * std::sqrt(24 / n));
}

// Counts beyond z are binomial: within 5 of their deviations, down to 5.7 expected in 10^7 draws.
TEST(RandomNormalTest, TailsAreThoseOfTheNormal) {
  const auto n = static_cast<double>(sample().size());
  for (const double z : {1.0, 2.0, 3.0, 4.0, 4.5, 5.0}) {
    const double p = std::erfc(z / std::sqrt(2.0)) / 2, deviation = std::sqrt(n * p * (1 - p));
    const auto above = static_cast<double>(
        std::count_if(sample().begin(), sample().end(), [z](float x) { return x > z; }));
    const auto below = static_cast<double>(
        std::count_if(sample().begin(), sample().end(), [z](float x) { return x < -z; }));
    EXPECT_NEAR(above, n * p, 5 * deviation) << "above " << z;
    EXPECT_NEAR(below, n * p, 5 * deviation) << "below " << -z;
  }
}

// P(sqrt(n) D > 2.3) = 2 exp(-2 * 2.3^2) = 5e-5 for the Kolmogorov distribution.
double kolmogorov_smirnov(std::vector<float> values, double centre = 0.0) {
  std::sort(values.begin(), values.end());
  const auto n = static_cast<double>(values.size());
  double distance = 0.0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double cdf = std::erfc(-(values[i] - centre) / std::sqrt(2.0)) / 2;
    distance = std::max(
        {distance, cdf - static_cast<double>(i) / n, static_cast<double>(i + 1) / n - cdf});
  }
  return std::sqrt(n) * distance;
}
TEST(RandomNormalTest, DistributionIsNormalByKolmogorovAndSmirnov) {
  const std::vector<float> million(sample().begin(), sample().begin() + 1'000'000);
  EXPECT_LT(kolmogorov_smirnov(million), 2.3);
  // The test is sharp enough to see a mean that is off by 0.005.
  EXPECT_GT(kolmogorov_smirnov(million, 0.005), 2.3);
}

double correlation(const std::vector<float>& a, const std::vector<float>& b) {
  double ab = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    ab += double{a[i]} * b[i], aa += double{a[i]} * a[i], bb += double{b[i]} * b[i];
  return ab / std::sqrt(aa * bb);
}
// A correlation of n independent pairs has deviation 1/sqrt(n).
TEST(RandomNormalTest, StreamsSeedsAndNeighboursAreUncorrelated) {
  constexpr std::int64_t kCount = 1 << 20;
  const double bound = 5 / std::sqrt(static_cast<double>(kCount));
  const std::vector<float> base = draw(kSeed, stream_of("h.0.ln_1.weight"), 0, kCount);
  EXPECT_LT(std::abs(correlation(base, draw(kSeed, stream_of("h.1.ln_1.weight"), 0, kCount))),
            bound);
  EXPECT_LT(std::abs(correlation(base, draw(kSeed + 1, stream_of("h.0.ln_1.weight"), 0, kCount))),
            bound);
  for (const std::int64_t lag : {1, 2, 3, 16, 32, 48, 64, 768}) {
    EXPECT_LT(std::abs(correlation(base, draw(kSeed, stream_of("h.0.ln_1.weight"), lag, kCount))),
              bound)
        << "lag " << lag;
  }
  EXPECT_DOUBLE_EQ(correlation(base, base), 1.0);  // what the bound would not let pass
}

TEST(RandomNormalTest, DeviationScalesEveryElement) {
  const std::vector<float> unit = draw(kSeed, 5, 0, 1000), scaled = draw(kSeed, 5, 0, 1000, 0.25f),
                           none = draw(kSeed, 5, 0, 1000, 0.0f);
  for (std::size_t i = 0; i < unit.size(); ++i) {
    EXPECT_EQ(scaled[i], 0.25f * unit[i]);  // a power of two: no rounding
    EXPECT_EQ(none[i], 0.0f);
  }
}

TEST(StreamOfTest, TellsTensorsApart) {
  EXPECT_EQ(stream_of("foobar"),
            0x85944171f73967e8u);  // FNV-1a's published vector: no draw changes
  std::set<std::uint64_t> streams;
  for (int block = 0; block < 1000; ++block) {
    for (const char* tensor : {".attn.c_attn.weight", ".attn.c_attn.bias", ".mlp.c_fc.weight"})
      streams.insert(stream_of("h." + std::to_string(block) + tensor));
  }
  EXPECT_EQ(streams.size(), 3000u);
}

TEST(RandomUniformIntTest, AnySplitGivesTheSameIntegers) {
  std::vector<std::int64_t> whole(500), pieces(500);
  random_uniform_int(kSeed, 9, 0, 500, 50257, whole.data());
  for (std::int64_t first = 0; first < 500; first += 77) {
    random_uniform_int(kSeed, 9, first, std::min<std::int64_t>(77, 500 - first), 50257,
                       pieces.data() + first);
  }
  EXPECT_EQ(whole, pieces);
}

// Chi-square of `bound` cells has mean bound - 1 and deviation sqrt(2 (bound - 1)); within 5 of
// them.
TEST(RandomUniformIntTest, EveryValueIsAsLikely) {
  for (const std::uint64_t bound : {1u, 2u, 7u, 1000u}) {
    std::vector<std::int64_t> values(1'000'000), counts(bound);
    random_uniform_int(kSeed, 9, 0, 1'000'000, bound, values.data());
    for (const std::int64_t value : values) {
      ASSERT_GE(value, 0);
      ASSERT_LT(value, static_cast<std::int64_t>(bound));
      ++counts[static_cast<std::size_t>(value)];
    }
    const double expected = 1e6 / static_cast<double>(bound),
                 freedom = static_cast<double>(bound) - 1;
    double chi_square = 0.0;
    for (const std::int64_t count : counts)
      chi_square += (static_cast<double>(count) - expected) *
                    (static_cast<double>(count) - expected) / expected;
    EXPECT_NEAR(chi_square, freedom, 5 * std::sqrt(2 * freedom)) << "bound " << bound;
  }
}

TEST(RandomUniformIntTest, TakesTheWholeRangeOfAWord) {
  std::vector<std::int64_t> values(1'000'000);
  random_uniform_int(kSeed, 9, 0, 1'000'000, std::uint64_t{1} << 32, values.data());
  EXPECT_GT(*std::max_element(values.begin(), values.end()), std::int64_t{0xfff00000});
  EXPECT_LT(*std::min_element(values.begin(), values.end()), std::int64_t{0x000fffff});
}

}  // namespace
}  // namespace deadray::kernels
