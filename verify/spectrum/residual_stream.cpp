#include "verify/spectrum/residual_stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "host/base/error.h"
#include "verify/base/dtypes.h"
#include "verify/base/thresholds.h"
#include "verify/device/channel.h"
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
  if (node == Node::layernorm_output) spectrum_.excluded.push_back(index);

  const bool is_reference = node == Node::stream && first_judged() == spectrum_.uncentred.size();
  double centred = 0, uncentred = 0, restricted = kNone;
  if (tokens_ > hidden_size_) {
    const auto channel = backend_->make_channel({.hidden_size = hidden_size_});
    channel->add(x);
    const RowMoments moments = channel->finish();
    const at::Tensor gram = second_moment(moments);
    centred = smallest_singular_value(moments.covariance, tokens_, *backend_);
    uncentred = smallest_singular_value(gram, tokens_, *backend_);
    if (is_reference && uncentred > 0) spectrum_.rank = hidden_size_;
    if (is_reference && uncentred == 0) find_row_space(gram, dtype_of(x.scalar_type()));
    if (row_space_.defined() && node == Node::stream)
      restricted =
          smallest_singular_value(row_space_.t().mm(gram.mm(row_space_)), tokens_, *backend_);
  }
  spectrum_.centred.push_back(centred);
  spectrum_.uncentred.push_back(uncentred);
  spectrum_.restricted.push_back(restricted);
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

ResidualSpectrum ResidualStream::finish() const {
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
  if (tokens_ <= hidden_size_)
    return fmt::format(
        "{} tokens for hidden_size {}: sigma_min is 0 or undefined; give more than {}", tokens_,
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
