#include "verify/spectrum/residual_stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "host/base/error.h"
#include "verify/device/channel.h"
#include "verify/spectrum/certificate.h"

namespace deadray {

void ResidualStream::add(const at::Tensor& x, Node node) {
  const auto index = static_cast<std::int64_t>(spectrum_.uncentred.size());
  if (x.dim() != 2 || (index > 0 && (x.size(0) != tokens_ || x.size(1) != hidden_size_)))
    throw InternalError(
        fmt::format("residual stream, node {}: shape {} but the nodes before have [{}, {}]", index,
                    c10::str(x.sizes()), tokens_, hidden_size_));
  tokens_ = x.size(0);
  hidden_size_ = x.size(1);
  if (node == Node::layernorm_output) spectrum_.excluded.push_back(index);

  double centred = 0, uncentred = 0;
  if (tokens_ > hidden_size_) {
    const auto channel = backend_->make_channel({.hidden_size = hidden_size_});
    channel->add(x);
    const RowMoments moments = channel->finish();
    centred = smallest_singular_value(moments.covariance, tokens_, *backend_);
    uncentred = smallest_singular_value(second_moment(moments), tokens_, *backend_);
  }
  spectrum_.centred.push_back(centred);
  spectrum_.uncentred.push_back(uncentred);
}

ResidualSpectrum ResidualStream::finish() const {
  ResidualSpectrum result = spectrum_;
  if (const std::string why = why_no_ratio(); !why.empty()) {
    result.reason = why;
    return result;
  }
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  const auto& sigma = result.uncentred;
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
  if (!(sigma[first] > 0))
    return fmt::format("sigma_min(X_{}) is below rounding: no ratio to it", first);
  return {};
}

}  // namespace deadray
