#include "verify/device/merge_moments.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstddef>

#include "verify/base/tensors.h"
#include "verify/numerics/moments.h"

namespace deadray {
namespace {

std::span<double> values_of(const at::Tensor& tensor) {
  return {tensor.data_ptr<double>(), static_cast<std::size_t>(tensor.numel())};
}

/// How the rows are shared out.
struct Shares {
  double mine = 0, total = 0;
  int first = 0;  // of the ranks that have any
};

Shares shares_of(std::int64_t count, Communicator& ranks) {
  std::vector<double> counts(static_cast<std::size_t>(ranks.size()), 0.0);
  counts[static_cast<std::size_t>(ranks.rank())] = static_cast<double>(count);
  ranks.all_sum(counts);
  Shares shares{static_cast<double>(count)};
  for (std::size_t i = counts.size(); i-- > 0;) {
    shares.total += counts[i];
    if (counts[i] > 0) shares.first = static_cast<int>(i);
  }
  return shares;
}

/// A mean over all ranks, and how far this rank's is from it: exactly 0 where all agree.
struct MergedMean {
  at::Tensor mean, step;  // on the CPU
};

MergedMean merge_means(const at::Tensor& mine, const Shares& shares, Communicator& ranks) {
  const at::Tensor own = mine.cpu(), reference = own.clone();
  ranks.broadcast(shares.first, values_of(reference));
  const at::Tensor step = shares.mine > 0 ? own - reference : at::zeros_like(own),
                   offset = step * shares.mine;
  ranks.all_sum(values_of(offset));
  offset.div_(shares.total);
  return {reference + offset, step - offset};
}

/// The upper triangle, panel by panel: half the traffic, and a small copy of it.
void sum_upper(const at::Tensor& matrix, Communicator& ranks, int owner) {
  constexpr std::int64_t kRows = 256;
  const std::int64_t d = matrix.size(0);
  for (std::int64_t begin = 0; begin < d; begin += kRows) {
    const at::Tensor panel =
        matrix.narrow(0, begin, std::min(kRows, d - begin)).narrow(1, begin, d - begin);
    const at::Tensor values =
        panel.to(at::kCPU, /*non_blocking=*/false, /*copy=*/true).contiguous();
    ranks.sum_to(owner, values_of(values));
    if (ranks.rank() == owner) panel.copy_(values);
  }
}

}  // namespace

RowMoments merge_moments(RowMoments mine, Communicator& ranks, int owner) {
  if (ranks.size() == 1) return mine;
  const Shares shares = shares_of(mine.count, ranks);
  mine.count = static_cast<std::int64_t>(shares.total);
  if (shares.total == 0) return ranks.rank() == owner ? mine : RowMoments{};
  if (mine.covariance.defined()) {
    const auto [mean, step] = merge_means(mine.mean, shares, ranks);
    const at::Tensor moved = step.to(mine.covariance.device());
    mine.covariance.mul_(shares.mine).addr_(moved, moved, 1, shares.mine);
    sum_upper(mine.covariance, ranks, owner);
    mine.mean = mean.to(mine.covariance.device());
  }
  if (mine.variance.defined()) {
    const auto [mean, step] = merge_means(mine.projected, shares, ranks);
    const at::Tensor squares = (mine.variance + step.square()) * shares.mine;
    ranks.sum_to(owner, values_of(squares));
    mine.variance = squares / shares.total;
    mine.projected = mean;
  }
  if (ranks.rank() != owner) return {mine.count};
  if (mine.covariance.defined()) {
    mine.covariance.div_(shares.total);
    mirror_upper(mine.covariance);
  }
  return mine;
}

}  // namespace deadray
