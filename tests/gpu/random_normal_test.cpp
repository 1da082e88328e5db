#include "kernels/operations/random_normal.h"

#include <gtest/gtest.h>

#include "tests/gpu/device.h"

namespace deadray::kernels {
namespace {

using namespace deadray::testing;

// Only additions, products and table-free polynomials in a fixed order, none fused: the same bits,
// whatever the piece that is asked for.
TEST(RandomNormalGpuTest, GivesTheBitsOfTheCpu) {
  for (const auto& [first, count] : {std::pair<std::int64_t, std::int64_t>{0, 1},
                                     {0, 4096},
                                     {63, 130},
                                     {1'000'003, small_shapes() ? 777 : 1'000'000}}) {
    std::vector<float> want(static_cast<std::size_t>(count));
    random_normal(5, stream_of("weight"), first, count, 0.02f, want.data());
    DeviceArray<float> got(want.size());
    operations().random_normal(5, stream_of("weight"), first, count, 0.02f, got.data(), nullptr);
    EXPECT_EQ(got.download(), want) << first << " … " << first + count;
  }
}

TEST(RandomNormalGpuTest, DrawsTheIntegersOfTheCpu) {
  for (const std::uint64_t bound : {1ULL, 2ULL, 50257ULL, 1ULL << 32}) {
    std::vector<std::int64_t> want(1000);
    random_uniform_int(5, 9, 17, 1000, bound, want.data());
    DeviceArray<std::int64_t> got(want.size());
    operations().random_uniform_int(5, 9, 17, 1000, bound, got.data(), nullptr);
    EXPECT_EQ(got.download(), want) << bound;
  }
}

}  // namespace
}  // namespace deadray::kernels
