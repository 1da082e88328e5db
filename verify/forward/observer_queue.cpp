#include "verify/forward/observer_queue.h"

#include <ATen/ATen.h>

#include <utility>

#include "verify/calibration/counted_rows.h"
#include "verify/device/backend.h"
#include "verify/device/found_memory.h"

namespace deadray {

namespace {

/// The rows of x [sequences, ..., length, width] that count, as plain tensors: [n, width], tangents
/// [K, n, width].
Dual rows_of(const at::Tensor& x, const at::Tensor& counted) {
  const ForwardMode* mode = ForwardMode::current();
  const Dual dual = mode != nullptr ? mode->lower(x) : Dual{x, {}};
  const ForwardMode::Pause plain;
  const at::Tensor index = counted_index(counted, dual.value);
  const auto rows = [&](const at::Tensor& of, std::int64_t dim) {
    if (!of.defined()) return at::Tensor();
    const at::Tensor all = of.flatten(dim, -2);
    return index.defined() ? all.index_select(dim, index) : all;
  };
  return {rows(dual.value, 0), rows(dual.tangents, 1)};
}

}  // namespace

bool ObserverQueue::run(const std::function<void()>& step, const at::Tensor& counted) {
  counted_ = counted;
  shown_.reset();
  const bool fitted = found_memory([&] {
    step();
    if (!norms_.empty()) observer_.prepare(norms_);
  });
  shown_.reset();
  const auto norms = std::exchange(norms_, {});
  const auto whole_outputs = std::exchange(whole_outputs_, {});
  const Dual head_input = std::exchange(head_input_, {});
  const at::Tensor logits = std::exchange(logits_, {});
  if (!fitted) return false;
  // Nothing below wants memory of the device: a tile counts whole or not at all.
  if (!norms.empty()) observer_.norms(norms);
  for (const WholeOutput& output : whole_outputs) observer_.whole_output(*output.site, output.rows);
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
    const auto of_site = [&](const at::Tensor& all, const at::Tensor& counted) {
      const auto site = static_cast<std::int64_t>(i);
      return rows_of(sites.size() == 1 ? all : all.select(1, site), counted).value;
    };
    if (observer_.wants(sites[i])) {
      // Norms that read the same x are shown the same tensor: who measures it does so once.
      const bool again = sites.size() == 1 && x.is_same(shown_);
      const at::Tensor input = again ? norms_.back().input : of_site(x, counted_);
      if (input.size(0) > 0) {
        norms_.push_back({sites[i], input, of_site(h, counted_)});
        shown_ = sites.size() == 1 ? x : at::Tensor();
      }
    }
    if (observer_.wants_whole_output(sites[i]))
      whole_outputs_.push_back({&sites[i], of_site(h, {})});
  }
  return h;
}

void ObserverQueue::head_input(const at::Tensor& h) {
  const Dual rows = rows_of(h, counted_);
  head_input_ = rows.value.size(0) > 0 ? rows : Dual{};
}

}  // namespace deadray
