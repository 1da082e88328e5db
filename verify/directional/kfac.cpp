#include "verify/directional/kfac.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "verify/device/memory.h"
#include "verify/directional/output_gradients.h"

namespace deadray {

namespace {

/// <r, h> + s of every row: v^T [h; 1].
at::Tensor projection(const ConsumerMove& move, const at::Tensor& h) {
  return at::matmul(h, move.r.to(h.device())) + move.s;
}

}  // namespace

std::vector<std::optional<double>> kfac_estimates(const FisherPass& pass,
                                                  std::span<const ParameterDirection> directions,
                                                  const DirectionalFisher& measured,
                                                  std::uint64_t seed) {
  std::map<std::string, std::vector<std::size_t>> of_consumer;
  for (std::size_t k = 0; k < directions.size(); ++k)
    if (!directions[k].of_shift()) of_consumer[directions[k].consumer].push_back(k);
  const auto move_of = [&](std::size_t k) -> const ConsumerMove& {
    return std::get<ConsumerMove>(directions[k].move);
  };
  std::map<std::string, at::Tensor> u;
  for (const auto& [consumer, which] : of_consumer) {
    std::vector<at::Tensor> all;
    for (const std::size_t k : which) all.push_back(move_of(k).u);
    u[consumer] = at::stack(all);
  }
  std::vector<std::optional<double>> estimates(directions.size());
  if (u.empty()) return estimates;
  const StreamsByNode streams(pass.streams.find(pass.entry), pass.streams.end());
  const at::Tensor h = measured.input.to(at::kDouble);
  // Gradients are averaged over the tokens that count, F over rows of the output. A classifier has
  // one row for a whole sequence.
  const double tokens_of_row =
      static_cast<double>(pass.calibration.rows()) / static_cast<double>(measured.output_rows);
  for (const auto& [consumer, moments] :
       output_gradient_moments(pass.model, pass.calibration, streams, u, seed)) {
    const auto& which = of_consumer.at(consumer);
    for (std::size_t i = 0; i < which.size(); ++i) {
      const double a = projection(move_of(which[i]), h).square().mean().item<double>();
      estimates[which[i]] =
          a * moments[static_cast<std::int64_t>(i)].item<double>() * tokens_of_row;
    }
  }
  return estimates;
}

std::string kfac_obstacle(const Model& model, const Calibration& calibration,
                          at::ScalarType dtype) {
  if (!model.weights->has_head()) return {};
  const LinearSpec& decoder = model.architecture.head->decoder;
  const double rows =
      static_cast<double>(std::max<std::int64_t>(kReverseTileTokens, calibration.length()));
  // Logits, their softmax, the sampled one's and the gradient.
  const double numbers =
      static_cast<double>(decoder.outputs) * (static_cast<double>(decoder.inputs) + 4 * rows);
  const double bytes = numbers * static_cast<double>(c10::elementSize(dtype));
  return no_room(model.weights->backend(), bytes, "the head and its gradients take");
}

double kernel_residual(const ConsumerMove& move, const at::Tensor& input) {
  const at::Tensor h = input.to(at::kDouble), of_rows = projection(move, h);
  const double n = static_cast<double>(h.size(0));
  const double product =
      std::hypot(at::mv(h.t(), of_rows).norm().item<double>(), of_rows.sum().item<double>()) / n;
  const double trace = h.square().sum().item<double>() / n + 1.0;
  return product / (trace * std::hypot(move.r.norm().item<double>(), move.s));
}

}  // namespace deadray
