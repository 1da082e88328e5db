#include "verify/directional/directional_fisher.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>

#include "verify/calibration/counted_rows.h"
#include "verify/device/memory.h"
#include "verify/device/softmax_variance.h"
#include "verify/directional/logit_fisher.h"
#include "verify/directional/watched_weights.h"
#include "verify/layers/output_stage.h"

namespace deadray {

namespace {

constexpr double kMostBytes = 4.0 * 1024 * 1024 * 1024;  // more at once gains nothing
constexpr double kMostDirections = 64;

/// @throws ResourceError with the sizes where not one fits
std::size_t directions_at_once(const FisherPass& pass) {
  if (pass.at_once > 0) return pass.at_once;
  const Backend& backend = pass.model.weights->backend();
  const double each = bytes_of_direction(pass.model, pass.calibration, pass.dtype());
  require_room(backend, each, fmt::format("{}: a direction takes", pass.model.name),
               kLessForDirection);
  const auto available = static_cast<double>(available_memory(backend));
  const double budget = available > 0 ? std::min(available / 2, kMostBytes) : kMostBytes;
  return static_cast<std::size_t>(std::clamp(budget / each, 1.0, kMostDirections));
}

/// A direction as the logits see it: dz = slope u (<r, h> + s).
struct LogitMove {
  at::Tensor u;  // [vocabulary] FP64 on the device of W
  at::Tensor r;  // [hidden_size] FP64 on the CPU
  double s = 0.0;
};

LogitMove logit_move(const ParameterDirection& direction, const at::Tensor& weight) {
  if (const auto* move = std::get_if<ConsumerMove>(&direction.move))
    return {move->u.to(weight.device()), move->r, move->s};
  const auto& shift = std::get<BetaShift>(direction.move);
  const Compensation& compensation = shift.of(direction.consumer);
  // The shift itself reaches the logits through W alone, as W a.
  return {at::mv(weight, shift.a.to(weight.options())).to(at::kDouble), compensation.r,
          compensation.s + (shift.norm ? 1.0 : 0.0)};
}

}  // namespace

double bytes_of_direction(const Model& model, const Calibration& calibration,
                          at::ScalarType dtype) {
  const Architecture& a = model.architecture;
  const auto length = static_cast<double>(calibration.length());
  double widest = 0;
  for (const BlockSpec& kind : a.block_kinds)
    widest =
        std::max(widest, static_cast<double>(kind.mlp.in.outputs + kind.attention.qkv.outputs) +
                             length * static_cast<double>(kind.attention.n_heads));
  const double stream =
      static_cast<double>(calibration.tokens()) * static_cast<double>(a.hidden_size);
  return static_cast<double>(c10::elementSize(dtype)) * (3 * stream + 4 * length * widest);
}

double bytes_of_decoder(const Model& model, at::ScalarType dtype) {
  if (!model.weights->has_head()) return 0;
  const LinearSpec& decoder = model.architecture.head->decoder;
  return static_cast<double>(decoder.inputs) * static_cast<double>(decoder.outputs) *
         static_cast<double>(c10::elementSize(dtype));
}

Executor FisherPass::executor(const Weights& weights, std::int64_t directions) const {
  ExecutorOptions options;
  options.dtype = dtype();
  options.directions = directions;
  return {model.architecture, weights, options};
}

DirectionalFisher hidden_fisher(const FisherPass& pass,
                                std::span<const ParameterDirection> directions) {
  const std::size_t at_once = directions_at_once(pass);
  DirectionalFisher fisher;
  for (std::size_t first = 0; first < directions.size(); first += at_once) {
    const auto some = directions.subspan(first, std::min(at_once, directions.size() - first));
    WatchedWeights weights(*pass.model.weights);
    watch_directions(weights, some);
    OutputKeeper keeper(pass.site);
    Executor executor = pass.executor(weights, static_cast<std::int64_t>(some.size()));
    executor.run(pass.calibration, keeper, pass.start());
    fisher.load_seconds += executor.load_seconds();
    fisher.notes.insert(fisher.notes.end(), executor.notes().begin(), executor.notes().end());
    const Dual output = keeper.output();
    const at::Tensor f = output_fisher(pass.model.architecture, *pass.model.weights, output,
                                       static_cast<std::int64_t>(some.size()));
    fisher.values.insert(fisher.values.end(), f.const_data_ptr<double>(),
                         f.const_data_ptr<double>() + f.numel());
    fisher.input = keeper.norm_rows();
    fisher.output_rows = output.value.size(0);
  }
  fisher.values = mean_over_ranks(*pass.ranks, std::move(fisher.values),
                                  static_cast<double>(fisher.output_rows));
  // A norm before the first block does not come again: its output is the stream that enters it.
  if (!fisher.input.defined())
    fisher.input =
        counted_rows(pass.calibration.counted(),
                     pass.streams.at(pass.entry)
                         .view({pass.calibration.sequences(), pass.calibration.length(), -1}));
  return fisher;
}

DirectionalFisher head_fisher(const FisherPass& pass,
                              std::span<const ParameterDirection> directions) {
  require_room(pass.model.weights->backend(), bytes_of_decoder(pass.model, pass.dtype()),
               fmt::format("{}: the head's decoder takes", pass.model.name), kLessForDecoder);
  OutputKeeper keeper;
  Executor executor = pass.executor(*pass.model.weights);
  executor.run(pass.calibration, keeper, pass.start());
  DirectionalFisher fisher;
  fisher.load_seconds = executor.load_seconds();
  fisher.notes = executor.notes();
  fisher.input = keeper.output().value.contiguous();
  fisher.output_rows = fisher.input.size(0);
  const Decoder decoder = load_decoder(pass.model.architecture, *pass.model.weights, pass.dtype());
  std::vector<LogitMove> moves;
  std::vector<at::Tensor> u;
  for (const ParameterDirection& direction : directions) {
    moves.push_back(logit_move(direction, decoder.weight));
    u.push_back(moves.back().u);
  }
  const at::Tensor variance = pass.model.weights->backend().softmax_variance(
      fisher.input, decoder, at::stack(u));  // [n, K]
  const at::Tensor h = fisher.input.to(at::kDouble);
  std::vector<double> means;
  for (std::size_t k = 0; k < directions.size(); ++k) {
    const at::Tensor squares = (at::matmul(h, moves[k].r.to(h.device())) + moves[k].s).square();
    const at::Tensor of_k = variance.select(1, static_cast<std::int64_t>(k));
    for (const at::Tensor& values : {squares * of_k, squares, of_k})
      means.push_back(values.mean().item<double>());
  }
  means = mean_over_ranks(*pass.ranks, std::move(means), static_cast<double>(fisher.output_rows));
  for (std::size_t k = 0; k < means.size(); k += 3) {
    fisher.values.push_back(means[k]);
    fisher.kfac.push_back(means[k + 1] * means[k + 2]);
  }
  return fisher;
}

}  // namespace deadray
