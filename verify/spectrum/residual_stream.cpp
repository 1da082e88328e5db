#include "verify/spectrum/residual_stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

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
  const auto index = static_cast<std::int64_t>(state_.spectrum.uncentred.size());
  if (x.dim() != 2 ||
      (index > 0 && (x.size(0) != state_.tokens || x.size(1) != state_.hidden_size)))
    throw InternalError(
        fmt::format("residual stream, node {}: shape {} but the nodes before have [{}, {}]", index,
                    c10::str(x.sizes()), state_.tokens, state_.hidden_size));
  state_.tokens = x.size(0);
  state_.hidden_size = x.size(1);
  if (index == 0) {
    double all = static_cast<double>(state_.tokens);
    ranks_->all_sum({&all, 1});
    state_.all_tokens = static_cast<std::int64_t>(all);
  }
  if (node == Node::layernorm_output) state_.spectrum.excluded.push_back(index);

  const bool is_reference =
      node == Node::stream && first_judged() == state_.spectrum.uncentred.size();
  Sigma sigma{0, 0, kNone};
  if (state_.all_tokens > state_.hidden_size) {
    const int owner = static_cast<int>(index % ranks_->size());
    const auto channel = backend_->make_channel({.hidden_size = state_.hidden_size});
    channel->add(x);
    const RowMoments moments = merge_moments(channel->finish(), *ranks_, owner);
    sigma = owner == ranks_->rank()
                ? decompose(moments, is_reference, node, dtype_of(x.scalar_type()))
                : Sigma{};  // nothing beside what the owner adds
    if (is_reference) share_row_space(owner);
  }
  state_.spectrum.centred.push_back(sigma.centred);
  state_.spectrum.uncentred.push_back(sigma.uncentred);
  state_.spectrum.restricted.push_back(sigma.restricted);
}

ResidualStream::Sigma ResidualStream::decompose(const RowMoments& moments, bool is_reference,
                                                Node node, DType made_in) {
  const at::Tensor gram = second_moment(moments);
  Sigma sigma{smallest_singular_value(moments.covariance, state_.all_tokens, *backend_),
              smallest_singular_value(gram, state_.all_tokens, *backend_), kNone};
  if (is_reference && sigma.uncentred > 0) state_.spectrum.rank = state_.hidden_size;
  if (is_reference && sigma.uncentred == 0) find_row_space(gram, made_in);
  if (state_.row_space.defined() && node == Node::stream)
    sigma.restricted = smallest_singular_value(state_.row_space.t().mm(gram.mm(state_.row_space)),
                                               state_.all_tokens, *backend_);
  return sigma;
}

/// Every rank that decomposes a later node needs what the owner of the reference has found.
void ResidualStream::share_row_space(int owner) {
  if (ranks_->size() == 1) return;
  double rank = static_cast<double>(state_.spectrum.rank.value_or(0));
  ranks_->broadcast(owner, {&rank, 1});
  if (rank == 0) return;
  state_.spectrum.rank = static_cast<std::int64_t>(rank);
  if (*state_.spectrum.rank == state_.hidden_size) return;
  const at::Tensor shared = state_.row_space.defined()
                                ? state_.row_space.cpu().contiguous()
                                : at::empty({state_.hidden_size, *state_.spectrum.rank}, fp64());
  ranks_->broadcast(owner, {shared.data_ptr<double>(), static_cast<std::size_t>(shared.numel())});
  state_.row_space = shared.to(backend_->device());
}

void ResidualStream::restore(State state) {
  state_ = std::move(state);
  if (state_.row_space.defined()) state_.row_space = state_.row_space.to(backend_->device());
}

/// The rank of the reference and its row space, where singular values fall to rounding by a clear
/// gap. The floor is that of the type of X: what rounding its numbers leaves is no direction.
void ResidualStream::find_row_space(const at::Tensor& gram, DType made_in) {
  const Eigendecomposition e = backend_->eigh(gram);
  const at::Tensor values = e.values.cpu();
  const double largest = values[-1].item<double>(),
               floor = rounding_floor(state_.hidden_size, largest, unit_roundoff(made_in));
  const auto null = (values < floor).sum().item<std::int64_t>();
  const double below = null > 0 ? values[null - 1].item<double>() : 0.0,
               bottom = std::max(below, rounding_floor(state_.hidden_size, largest));
  if (!(largest > 0) || !(values[null].item<double>() >= kClearGap * bottom)) return;
  state_.spectrum.rank = state_.hidden_size - null;
  state_.row_space = e.vectors.narrow(1, null, state_.hidden_size - null);
}

ResidualSpectrum ResidualStream::finish() {
  if (state_.all_tokens > state_.hidden_size)
    for (auto* sigma :
         {&state_.spectrum.centred, &state_.spectrum.uncentred, &state_.spectrum.restricted})
      ranks_->all_sum(*sigma);
  ResidualSpectrum result = state_.spectrum;
  if (!state_.row_space.defined()) result.restricted.clear();
  if (const std::string why = why_no_ratio(); !why.empty()) {
    result.reason = why;
    return result;
  }
  const auto& sigma = state_.row_space.defined() ? result.restricted : result.uncentred;
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
  if (state_.row_space.defined())
    result.reason += fmt::format(", along the {} of {} directions that X_{} has", *result.rank,
                                 state_.hidden_size, first);
  return result;
}

bool ResidualStream::is_excluded(std::size_t node) const {
  return std::binary_search(state_.spectrum.excluded.begin(), state_.spectrum.excluded.end(),
                            static_cast<std::int64_t>(node));
}

std::size_t ResidualStream::first_judged() const {
  std::size_t node = 0;
  while (node < state_.spectrum.uncentred.size() && is_excluded(node)) ++node;
  return node;
}

std::string ResidualStream::why_no_ratio() const {
  const auto& sigma = state_.spectrum.uncentred;
  const std::size_t first = first_judged();
  if (first == sigma.size()) return "every node is a LayerNorm's output";
  if (state_.all_tokens <= state_.hidden_size)
    return fmt::format(
        "{} tokens for hidden_size {}: sigma_min is 0 or undefined; give more than {}",
        state_.all_tokens, state_.hidden_size, state_.hidden_size);
  const auto bad =
      std::find_if(sigma.begin(), sigma.end(), [](double value) { return std::isnan(value); });
  if (bad != sigma.end()) return fmt::format("node {} is not finite", bad - sigma.begin());
  if (!(sigma[first] > 0) && !state_.row_space.defined())
    return fmt::format(
        "sigma_min(X_{}) is below rounding, without a gap that tells its rank: no ratio to it",
        first);
  return {};
}

}  // namespace deadray
