#include "verify/layers/places.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

namespace deadray {
namespace {

TEST(PlacesTest, TokensOfAPictureSeeEachOtherWithinTheWindow) {
  AttentionSpec spec;
  spec.window = 3;
  spec.joins_groups = true;
  const std::int64_t length = 9;
  const at::Tensor groups =
      at::tensor({-1, 0, 0, 0, 0, -1, 1, 1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1}, at::kLong)
          .view({2, length});
  const Places places =
      places_of(spec, at::arange(length, at::kFloat).unsqueeze(1), at::kFloat, at::kCPU, groups);
  ASSERT_EQ(places.mask.sizes(), (at::IntArrayRef{2, 1, length, length}));
  EXPECT_FALSE(places.causal);
  for (std::int64_t s = 0; s < 2; ++s)
    for (std::int64_t i = 0; i < length; ++i)
      for (std::int64_t j = 0; j < length; ++j) {
        const auto group = [&](std::int64_t token) {
          return groups[s][token].item<std::int64_t>();
        };
        const bool seen =
            (j <= i || (group(i) >= 0 && group(i) == group(j))) && i - j < spec.window;
        EXPECT_EQ(places.mask[s][0][i][j].item<float>(), seen ? 0.0F : -INFINITY)
            << s << ": " << i << " sees " << j;
      }
  EXPECT_TRUE(places.narrow(1, 1).mask[0].equal(places.mask[1]));
  // Blocks that do not join groups stay as they are without pictures.
  spec.joins_groups = false;
  EXPECT_EQ(
      places_of(spec, at::arange(length, at::kFloat).unsqueeze(1), at::kFloat, at::kCPU, groups)
          .mask.size(0),
      1);
}

}  // namespace
}  // namespace deadray
