#include "verify/directional/kfac.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "verify/base/tensors.h"
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
  const auto sums = output_gradient_sums(pass.model, pass.calibration, streams, u, seed);
  // Both factors of all ranks, as sums over tokens that count. F is a mean over rows of the output,
  // of which a classifier has one for a whole sequence.
  std::vector<std::size_t> order;
  std::vector<double> values;
  for (const auto& [consumer, of_u] : sums)
    for (std::size_t i = 0; i < of_consumer.at(consumer).size(); ++i) {
      order.push_back(of_consumer.at(consumer)[i]);
      values.push_back(projection(move_of(order.back()), h).square().sum().item<double>());
      values.push_back(of_u[static_cast<std::int64_t>(i)].item<double>());
    }
  values.push_back(static_cast<double>(h.size(0)));
  values.push_back(static_cast<double>(measured.output_rows));
  pass.ranks->all_sum(values);
  const double inputs = values[values.size() - 2], output_rows = values.back();
  for (std::size_t i = 0; i < order.size(); ++i)
    estimates[order[i]] = (values[2 * i] / inputs) * (values[2 * i + 1] / output_rows);
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

double kernel_residual(const ConsumerMove& move, const at::Tensor& input, Communicator& ranks) {
  const at::Tensor h = input.to(at::kDouble), of_rows = projection(move, h),
                   product = at::mv(h.t(), of_rows).cpu();
  // n A v of this rank, then n tr A without the 1 of the bias.
  std::vector<double> sums(product.const_data_ptr<double>(),
                           product.const_data_ptr<double>() + product.numel());
  sums.push_back(of_rows.sum().item<double>());
  sums.push_back(h.square().sum().item<double>());
  sums.push_back(static_cast<double>(h.size(0)));
  ranks.all_sum(sums);
  const double n = sums.back(), trace = sums[sums.size() - 2] / n + 1.0;
  sums.resize(sums.size() - 2);
  return to_tensor(sums).norm().item<double>() /
         (n * trace * std::hypot(move.r.norm().item<double>(), move.s));
}

}  // namespace deadray
