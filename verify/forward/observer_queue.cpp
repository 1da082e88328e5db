#include "verify/forward/observer_queue.h"

#include <ATen/ATen.h>

#include <utility>

#include "verify/device/backend.h"
#include "verify/device/found_memory.h"

namespace deadray {

namespace {

/// What x [sequences, ..., width] stands for, as plain rows: [n, width], tangents [K, n, width].
Dual rows(const at::Tensor& x) {
  const ForwardMode* mode = ForwardMode::current();
  const Dual dual = mode != nullptr ? mode->lower(x) : Dual{x, {}};
  const ForwardMode::Pause plain;
  return {dual.value.flatten(0, -2),
          dual.tangents.defined() ? dual.tangents.flatten(1, -2) : at::Tensor()};
}

}  // namespace

bool ObserverQueue::run(const std::function<void()>& step) {
  const bool fitted = found_memory([&] {
    step();
    for (const NormTile& tile : norms_) observer_.prepare(*tile.site, tile.input, tile.output);
  });
  const auto norms = std::exchange(norms_, {});
  const Dual head_input = std::exchange(head_input_, {});
  const at::Tensor logits = std::exchange(logits_, {});
  if (!fitted) return false;
  // Nothing below wants memory of the device: a tile counts whole or not at all.
  for (const NormTile& tile : norms) observer_.norm(*tile.site, tile.input, tile.output);
  if (head_input.value.defined()) observer_.head_input(head_input);
  if (logits.defined()) observer_.logits(logits);
  return true;
}

NormCall ObserverQueue::norm_call() {
  return [this](const Norm& norm, const at::Tensor& x) { return evaluate(norm, x); };
}

at::Tensor ObserverQueue::evaluate(const Norm& norm, const at::Tensor& x) {
  at::Tensor h = norm(x);
  const std::vector<std::string>& sites = norm.sites();
  for (std::size_t i = 0; i < sites.size(); ++i) {
    if (!observer_.wants(sites[i])) continue;
    const auto of_site = [&](const at::Tensor& all) {
      return rows(sites.size() == 1 ? all : all.select(1, static_cast<std::int64_t>(i))).value;
    };
    norms_.push_back({&sites[i], of_site(x), of_site(h)});
  }
  return h;
}

void ObserverQueue::head_input(const at::Tensor& h) { head_input_ = rows(h); }

}  // namespace deadray
