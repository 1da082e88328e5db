#include "verify/spectrum/residual_stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "host/base/error.h"
#include "verify/base/dtypes.h"
#include "verify/base/tensors.h"
#include "verify/base/thresholds.h"
#include "verify/device/channel.h"
#include "verify/device/merge_moments.h"
#include "verify/numerics/eigh.h"
#include "verify/spectrum/certificate.h"

namespace deadray {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

}  // namespace

void ResidualStream::add(const at::Tensor& x, Node node) {
  const auto index = static_cast<std::int64_t>(spectrum_.uncentred.size());
  if (x.dim() != 2 || (index > 0 && (x.size(0) != tokens_ || x.size(1) != hidden_size_)))
    throw InternalError(
        fmt::format("residual stream, node {}: shape {} but the nodes before have [{}, {}]", index,
                    c10::str(x.sizes()), tokens_, hidden_size_));
  tokens_ = x.size(0);
  hidden_size_ = x.size(1);
  if (index == 0) {
    double all = static_cast<double>(tokens_);
    ranks_->all_sum({&all, 1});
    all_tokens_ = static_cast<std::int64_t>(all);
  }
  if (node == Node::layernorm_output) spectrum_.excluded.push_back(index);

  const bool is_reference = node == Node::stream && first_judged() == spectrum_.uncentred.size();
  Sigma sigma{0, 0, kNone};
  if (all_tokens_ > hidden_size_) {
    const int owner = static_cast<int>(index % ranks_->size());
    const auto channel = backend_->make_channel({.hidden_size = hidden_size_});
    channel->add(x);
    const RowMoments moments = merge_moments(channel->finish(), *ranks_, owner);
    sigma = owner == ranks_->rank()
                ? decompose(moments, is_reference, node, dtype_of(x.scalar_type()))
                : Sigma{};  // nothing beside what the owner adds
    if (is_reference) share_row_space(owner);
  }
  spectrum_.centred.push_back(sigma.centred);
  spectrum_.uncentred.push_back(sigma.uncentred);
  spectrum_.restricted.push_back(sigma.restricted);
}

ResidualStream::Sigma ResidualStream::decompose(const RowMoments& moments, bool is_reference,
                                                Node node, DType made_in) {
  const at::Tensor gram = second_moment(moments);
  Sigma sigma{smallest_singular_value(moments.covariance, all_tokens_, *backend_),
              smallest_singular_value(gram, all_tokens_, *backend_), kNone};
  if (is_reference && sigma.uncentred > 0) spectrum_.rank = hidden_size_;
  if (is_reference && sigma.uncentred == 0) find_row_space(gram, made_in);
  if (row_space_.defined() && node == Node::stream)
    sigma.restricted =
        smallest_singular_value(row_space_.t().mm(gram.mm(row_space_)), all_tokens_, *backend_);
  return sigma;
}

/// Every rank that decomposes a later node needs what the owner of the reference has found.
void ResidualStream::share_row_space(int owner) {
  if (ranks_->size() == 1) return;
  double rank = static_cast<double>(spectrum_.rank.value_or(0));
  ranks_->broadcast(owner, {&rank, 1});
  if (rank == 0) return;
  spectrum_.rank = static_cast<std::int64_t>(rank);
  if (*spectrum_.rank == hidden_size_) return;
  const at::Tensor shared = row_space_.defined()
                                ? row_space_.cpu().contiguous()
                                : at::empty({hidden_size_, *spectrum_.rank}, fp64());
  ranks_->broadcast(owner, {shared.data_ptr<double>(), static_cast<std::size_t>(shared.numel())});
  row_space_ = shared.to(backend_->device());
}

/// The rank of the reference and its row space, where singular values fall to rounding by a clear
/// gap. The floor is that of the type of X: what rounding its numbers leaves is no direction.
void ResidualStream::find_row_space(const at::Tensor& gram, DType made_in) {
  const Eigendecomposition e = backend_->eigh(gram);
  const at::Tensor values = e.values.cpu();
  const double largest = values[-1].item<double>(),
               floor = rounding_floor(hidden_size_, largest, unit_roundoff(made_in));
  const auto null = (values < floor).sum().item<std::int64_t>();
  const double below = null > 0 ? values[null - 1].item<double>() : 0.0,
               bottom = std::max(below, rounding_floor(hidden_size_, largest));
  if (!(largest > 0) || !(values[null].item<double>() >= kClearGap * bottom)) return;
  spectrum_.rank = hidden_size_ - null;
  row_space_ = e.vectors.narrow(1, null, hidden_size_ - null);
}

ResidualSpectrum ResidualStream::finish() {
  if (all_tokens_ > hidden_size_)
    for (auto* sigma : {&spectrum_.centred, &spectrum_.uncentred, &spectrum_.restricted})
      ranks_->all_sum(*sigma);
  ResidualSpectrum result = spectrum_;
  if (!row_space_.defined()) result.restricted.clear();
  if (const std::string why = why_no_ratio(); !why.empty()) {
    result.reason = why;
    return result;
  }
  const auto& sigma = row_space_.defined() ? result.restricted : result.uncentred;
  const std::size_t first = first_judged();
  result.reference = static_cast<std::int64_t>(first);
  for (std::size_t l = 0; l < sigma.size(); ++l) {
    const bool judged = !is_excluded(l),
               follows = judged && l > 0 && !is_excluded(l - 1) && sigma[l - 1] > 0;
    result.ratio.push_back(judged ? sigma[l] / sigma[first] : kNone);
    result.steps.push_back(follows ? sigma[l] / sigma[l - 1] : kNone);
  }
  std::size_t smallest = first;  // of those that follow, whose own ratio is 1
  for (std::size_t l = first + 1; l < sigma.size(); ++l)
    if (!is_excluded(l) && (smallest == first || !(result.ratio[l] >= result.ratio[smallest])))
      smallest = l;
  result.preserved = result.ratio[smallest] >= 1;
  result.reason = fmt::format("smallest ratio {:.6g} at node {}", result.ratio[smallest], smallest);
  if (row_space_.defined())
    result.reason += fmt::format(", along the {} of {} directions that X_{} has", *result.rank,
                                 hidden_size_, first);
  return result;
}

bool ResidualStream::is_excluded(std::size_t node) const {
  return std::binary_search(spectrum_.excluded.begin(), spectrum_.excluded.end(),
                            static_cast<std::int64_t>(node));
}

std::size_t ResidualStream::first_judged() const {
  std::size_t node = 0;
  while (node < spectrum_.uncentred.size() && is_excluded(node)) ++node;
  return node;
}

std::string ResidualStream::why_no_ratio() const {
  const auto& sigma = spectrum_.uncentred;
  const std::size_t first = first_judged();
  if (first == sigma.size()) return "every node is a LayerNorm's output";
  if (all_tokens_ <= hidden_size_)
    return fmt::format(
        "{} tokens for hidden_size {}: sigma_min is 0 or undefined; give more than {}", all_tokens_,
        hidden_size_, hidden_size_);
  const auto bad =
      std::find_if(sigma.begin(), sigma.end(), [](double value) { return std::isnan(value); });
  if (bad != sigma.end()) return fmt::format("node {} is not finite", bad - sigma.begin());
  if (!(sigma[first] > 0) && !row_space_.defined())
    return fmt::format(
        "sigma_min(X_{}) is below rounding, without a gap that tells its rank: no ratio to it",
        first);
  return {};
}

}  // namespace deadray
