#include "verify/device/merge_moments.h"

#include <gtest/gtest.h>

#include "tests/support/thread_ranks.h"
#include "verify/base/tensors.h"
#include "verify/device/backend.h"

namespace deadray {
namespace {

using test::ThreadRanks;

constexpr std::int64_t kRows = 300, kHidden = 40;

at::Tensor rows_with_means() {
  at::manual_seed(11);
  return at::randn({kRows, kHidden}, fp64()) * at::linspace(0.1, 3, kHidden, fp64()) +
         at::linspace(-50, 90, kHidden, fp64());
}

/// Made once: ranks are threads here, and the generator is shared.
const at::Tensor& unit_rows() {
  static const at::Tensor unit = [] {
    at::manual_seed(12);
    const at::Tensor rows = at::randn({3, kHidden}, fp64());
    return rows / rows.norm(2, {1}, /*keepdim=*/true);
  }();
  return unit;
}

RowMoments moments_of(const at::Tensor& rows, bool covariance = true) {
  const auto channel = cpu_backend().make_channel({.hidden_size = kHidden,
                                                   .shift = at::zeros({kHidden}, fp64()),
                                                   .directions = unit_rows(),
                                                   .covariance = covariance});
  channel->add(rows);
  return channel->finish();
}

/// What `size` ranks find whose parts of the rows are as long as `lengths` says.
RowMoments merged(const at::Tensor& rows, const std::vector<std::int64_t>& lengths, int owner) {
  RowMoments result;
  ThreadRanks::run(static_cast<int>(lengths.size()), [&](Communicator& ranks) {
    std::int64_t first = 0;
    for (int rank = 0; rank < ranks.rank(); ++rank)
      first += lengths[static_cast<std::size_t>(rank)];
    const at::Tensor part = rows.narrow(0, first, lengths[static_cast<std::size_t>(ranks.rank())]);
    RowMoments moments = merge_moments(moments_of(part), ranks, owner);
    if (ranks.rank() == owner)
      result = std::move(moments);
    else
      EXPECT_FALSE(moments.covariance.defined()) << "the owner alone has it";
  });
  return result;
}

double relative(const at::Tensor& got, const at::Tensor& want) {
  return ((got - want).abs().max() / want.abs().max()).item<double>();
}

TEST(MergeMomentsTest, AreThoseOfAllRows) {
  const at::Tensor rows = rows_with_means();
  const RowMoments whole = moments_of(rows);
  for (const auto& lengths :
       {std::vector<std::int64_t>{300}, {150, 150}, {1, 299}, {100, 0, 200}, {75, 75, 75, 75}})
    for (int owner = 0; owner < static_cast<int>(lengths.size()); ++owner) {
      const RowMoments all = merged(rows, lengths, owner);
      EXPECT_EQ(all.count, kRows);
      // Sums of 300 terms, each rounded: some dozen units of 2^-53.
      EXPECT_LT(relative(all.mean, whole.mean), 1e-14);
      EXPECT_LT(relative(all.covariance, whole.covariance), 1e-13);
      EXPECT_LT(relative(all.variance, whole.variance), 1e-13);
      EXPECT_TRUE(all.covariance.equal(all.covariance.t())) << "exactly symmetric";
    }
}

TEST(MergeMomentsTest, EqualRowsKeepExactlyNoVariance) {
  const at::Tensor rows = rows_with_means().narrow(0, 0, 1).expand({kRows, kHidden}).contiguous();
  const RowMoments all = merged(rows, {100, 0, 80, 120}, 2);
  EXPECT_EQ(at::count_nonzero(all.covariance).item<std::int64_t>(), 0);
}

TEST(MergeMomentsTest, OfNoRowsAnywhereAreZero) {
  const RowMoments all = merged(rows_with_means().narrow(0, 0, 0), {0, 0}, 0);
  EXPECT_EQ(all.count, 0);
  EXPECT_EQ(at::count_nonzero(all.covariance).item<std::int64_t>(), 0);
}

}  // namespace
}  // namespace deadray
