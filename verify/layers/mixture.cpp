#include "verify/layers/mixture.h"

#include <ATen/ATen.h>

namespace deadray {

Mixture::Mixture(const Weights& weights, const MlpSpec& spec, std::int64_t block,
                 at::ScalarType dtype)
    : weights_(weights),
      spec_(spec),
      block_(block),
      dtype_(dtype),
      router_(load_linear(weights, spec.routing->router, block, dtype)),
      experts_(static_cast<std::size_t>(spec.routing->n_experts)) {}

const DenseMlp& Mixture::expert(std::int64_t number) const {
  auto& place = experts_[static_cast<std::size_t>(number)];
  if (!place) {
    MlpSpec one = spec_;
    one.in = deadray::expert(spec_.in, number);
    one.out = deadray::expert(spec_.out, number);
    weights_.load_now([&] { place.emplace(weights_, one, block_, dtype_); });
  }
  return *place;
}

at::Tensor Mixture::operator()(const at::Tensor& h) const {
  const Routing& routing = *spec_.routing;
  const at::Tensor rows = h.reshape({-1, h.size(-1)}), logits = router_(rows);
  const at::Tensor probability =
      at::softmax(logits, -1, h.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
  auto [weight, chosen] = at::topk(probability, routing.per_token, -1);
  if (routing.normalises) weight = weight / weight.sum(-1, /*keepdim=*/true);
  if (!routing.weights_in_fp32) weight = weight.to(h.scalar_type());
  // Tokens grouped by expert: one product for each expert that somebody chose.
  const auto [sorted, order] =
      chosen.flatten().sort(/*stable=*/true, /*dim=*/0, /*descending=*/false);
  const at::Tensor counts = at::bincount(sorted, {}, routing.n_experts).cpu();
  at::Tensor out = at::zeros_like(rows);
  for (std::int64_t number = 0, first = 0; number < routing.n_experts; ++number) {
    const std::int64_t count = counts[number].item<std::int64_t>();
    if (count == 0) continue;
    const at::Tensor pick = order.narrow(0, first, count),
                     token = pick.floor_divide(routing.per_token);
    const at::Tensor y = expert(number)(rows.index_select(0, token));
    out.index_add_(0, token,
                   (y * weight.flatten().index_select(0, pick).unsqueeze(-1)).to(h.scalar_type()));
    first += count;
  }
  return out.view(h.sizes());
}

}  // namespace deadray
