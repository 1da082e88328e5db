#include "verify/layers/places.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace deadray {
namespace {

TokenPlaces tokens_of(std::int64_t length) {
  return {at::arange(length, at::kFloat).view({1, length, 1})};
}

at::Tensor bools(std::vector<std::int64_t> values, std::int64_t rows) {
  return at::tensor(values, at::kLong).view({rows, -1}).to(at::kBool);
}

TEST(AttentionPlacesTest, TokensOfAPictureSeeEachOtherWithinTheWindow) {
  AttentionSpec spec;
  spec.window = 3;
  spec.joins_groups = true;
  const std::int64_t length = 9;
  TokenPlaces tokens = tokens_of(length);
  tokens.groups =
      at::tensor({-1, 0, 0, 0, 0, -1, 1, 1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1}, at::kLong)
          .view({2, length});
  const AttentionPlaces places(spec, tokens, at::kFloat, at::kCPU);
  const Places both = places.tile(0, 2);
  ASSERT_EQ(both.mask.sizes(), (at::IntArrayRef{2, 1, length, length}));
  EXPECT_FALSE(both.causal);
  for (std::int64_t s = 0; s < 2; ++s)
    for (std::int64_t i = 0; i < length; ++i)
      for (std::int64_t j = 0; j < length; ++j) {
        const auto group = [&](std::int64_t token) {
          return tokens.groups[s][token].item<std::int64_t>();
        };
        const bool seen =
            (j <= i || (group(i) >= 0 && group(i) == group(j))) && i - j < spec.window;
        EXPECT_EQ(both.mask[s][0][i][j].item<float>(), seen ? 0.0F : -INFINITY)
            << s << ": " << i << " sees " << j;
      }
  EXPECT_TRUE(places.tile(1, 1).mask[0].equal(both.mask[1]));
  // Blocks that do not join groups stay as they are without pictures.
  spec.joins_groups = false;
  EXPECT_EQ(AttentionPlaces(spec, tokens, at::kFloat, at::kCPU).tile(0, 2).mask.size(0), 1);
}

TEST(AttentionPlacesTest, AHiddenTokenIsSeenByNoneButAQueryThatSeesNothingElse) {
  const std::int64_t length = 4;
  TokenPlaces tokens = tokens_of(length);
  tokens.attended = bools({1, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0}, 3);
  for (const bool causal : {true, false})
    for (const std::int64_t window : {0, 2}) {
      AttentionSpec spec;
      spec.causal = causal, spec.window = window;
      const Places places = AttentionPlaces(spec, tokens, at::kFloat, at::kCPU).tile(0, 3);
      EXPECT_FALSE(places.causal);
      ASSERT_EQ(places.mask.sizes(), (at::IntArrayRef{3, 1, length, length}));
      for (std::int64_t s = 0; s < 3; ++s)
        for (std::int64_t i = 0; i < length; ++i) {
          std::vector<bool> seen;
          for (std::int64_t j = 0; j < length; ++j)
            seen.push_back(tokens.attended[s][j].item<bool>() && (!causal || j <= i) &&
                           (window == 0 || std::abs(i - j) < window));
          if (std::find(seen.begin(), seen.end(), true) == seen.end())
            seen[static_cast<std::size_t>(i)] = true;
          for (std::int64_t j = 0; j < length; ++j)
            EXPECT_EQ(places.mask[s][0][i][j].item<float>(),
                      seen[static_cast<std::size_t>(j)] ? 0.0F : -INFINITY)
                << s << ": " << i << " sees " << j << ", window " << window;
        }
    }
}

TEST(AttentionPlacesTest, NeedsNoMaskWhereNothingIsHidden) {
  AttentionSpec spec;
  const Places causal = AttentionPlaces(spec, tokens_of(4), at::kFloat, at::kCPU).tile(0, 1);
  EXPECT_TRUE(causal.causal);
  EXPECT_FALSE(causal.mask.defined());
  spec.causal = false;
  const Places both_ways = AttentionPlaces(spec, tokens_of(4), at::kFloat, at::kCPU).tile(0, 1);
  EXPECT_FALSE(both_ways.causal);
  EXPECT_FALSE(both_ways.mask.defined());
}

TEST(AttentionPlacesTest, AlibiCountsTheTokensThatTheMaskKeeps) {
  AttentionSpec spec;
  spec.n_heads = 1;
  spec.alibi.emplace();
  TokenPlaces tokens = tokens_of(4);
  tokens.attended = bools({0, 1, 0, 1}, 1);
  const at::Tensor last =
      AttentionPlaces(spec, tokens, at::kFloat, at::kCPU).tile(0, 1).mask[0][0][3];
  const float slope = std::exp2(-8.0F);  // of one head alone
  const float expected[] = {-INFINITY, 0.0F, -INFINITY, slope};
  for (std::int64_t j = 0; j < 4; ++j) EXPECT_EQ(last[j].item<float>(), expected[j]) << j;
}

TEST(AttentionPlacesTest, TurnsEachSequenceByItsOwnPositions) {
  AttentionSpec spec;
  spec.rope.emplace().rotated_dims = 4;
  TokenPlaces tokens = tokens_of(3);
  tokens.coordinates = at::tensor({0, 1, 2, 5, 1, 1}, at::kFloat).view({2, 3, 1});
  const AttentionPlaces places(spec, tokens, at::kFloat, at::kCPU);
  const at::Tensor cosine = places.tile(0, 2).rotary->cosine;
  ASSERT_EQ(cosine.sizes(), (at::IntArrayRef{2, 1, 3, 4}));
  EXPECT_TRUE(cosine[1][0][1].equal(cosine[0][0][1]));
  EXPECT_FALSE(cosine[1][0][0].equal(cosine[0][0][0]));
  EXPECT_TRUE(places.tile(1, 1).rotary->cosine[0].equal(cosine[1]));
}

TEST(CountPositionsTest, CountsFromTheRowsStartOrWhatTheMaskKeeps) {
  const at::Tensor attended = bools({0, 1, 0, 1}, 1);
  const auto row = [](std::vector<std::int64_t> values) {
    return at::tensor(values, at::kLong).unsqueeze(0);
  };
  EXPECT_TRUE(count_positions(Counting::all, attended, 4).equal(row({0, 1, 2, 3})));
  EXPECT_TRUE(count_positions(Counting::attended, attended, 4).equal(row({-1, 0, -1, 1})));
  EXPECT_TRUE(count_positions(Counting::attended, {}, 4).equal(row({0, 1, 2, 3})));
}

}  // namespace
}  // namespace deadray
