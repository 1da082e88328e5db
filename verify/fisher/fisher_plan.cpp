#include "verify/fisher/fisher_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "verify/device/memory.h"
#include "verify/directional/consumers.h"
#include "verify/directional/directional_fisher.h"
#include "verify/plan/gemm_rate.h"
#include "verify/plan/plan.h"

namespace deadray {

namespace {

// In units of one forward pass.
constexpr double kSteps = 3;    // the finite steps of one direction
constexpr double kReverse = 3;  // forward again, and two products backward
constexpr double kValue = 1;    // the pass that carries the tangents, without them

}  // namespace

FisherWork work_of(const Model& model, const SiteClaims& claims, const FisherOptions& options) {
  FisherWork work;
  work.entry = claims.entry.value_or(model.architecture.n_blocks);
  const std::vector<std::int64_t> counts = count_parameter_directions(
      claims.untied, claims.norm, claims.subspace, claims.constructions, options.counts);
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const std::string& consumer = claims.constructions[i].consumer;
    if (counts[i] == 0 || !obstacle(model, claims, consumer).empty()) continue;
    (is_decoder(model, consumer) ? work.head : work.hidden) += counts[i];
    if (options.invariance && claims.claims[i].family != DeadParameters::Family::none)
      work.moved += 2;  // a dead one and a control
  }
  return work;
}

FisherPlan plan_fisher(const Model& model, const Calibration& calibration,
                       const FisherOptions& options, std::span<const FisherWork> work) {
  const Architecture& architecture = model.architecture;
  FisherPlan plan;
  plan.tokens = calibration.tokens();
  plan.norms = static_cast<std::int64_t>(work.size());
  std::int64_t first = architecture.n_blocks;
  for (const FisherWork& norm : work) first = std::min(first, norm.entry);
  plan.nodes = architecture.n_blocks - first + 1;
  const bool wide =
      options.invariance && options.dtype != at::kDouble;  // the streams once more, in FP64
  const auto bytes = static_cast<double>(c10::elementSize(options.dtype)) + (wide ? 8.0 : 0.0);
  plan.streams = static_cast<double>(plan.nodes) * static_cast<double>(plan.tokens) *
                 static_cast<double>(architecture.hidden_size) * bytes;

  const auto pass_from = [&](std::int64_t block) {
    return forward_flops(architecture, plan.tokens, calibration.length(), block);
  };
  double head = 0;  // of one product with the decoder
  if (model.weights->has_head()) {
    const LinearSpec& decoder = architecture.head->decoder;
    head = 2.0 * static_cast<double>(decoder.inputs) * static_cast<double>(decoder.outputs) *
           static_cast<double>(plan.tokens);
  }
  plan.flops = pass_from(0) * (wide ? 2 : 1);
  for (const FisherWork& norm : work) {
    plan.directions += norm.hidden + norm.head;
    const double pass = pass_from(norm.entry) + head;
    if (norm.hidden > 0) {
      plan.direction = bytes_of_direction(model, calibration, options.dtype);
      plan.flops +=
          pass * (kValue + static_cast<double>(norm.hidden) + (options.kfac ? kReverse : 0));
    }
    if (norm.head > 0) {
      plan.decoder = bytes_of_decoder(model, options.dtype);
      plan.flops += head;
    }
    if (norm.moved > 0) plan.flops += pass * (1 + kSteps * static_cast<double>(norm.moved));
  }
  if (plan.flops > kWorthAsking)
    plan.gemm_rate =
        measure_gemm_rate(model.weights->backend(), options.dtype, architecture.hidden_size);
  return plan;
}

std::string describe(const FisherPlan& plan, const Model& model) {
  const auto available = static_cast<double>(available_memory(model.weights->backend()));
  std::string text = fmt::format(
      "{}: {} tokens, {} norms, about {} directions; residual streams kept at {} nodes {}",
      model.name, plan.tokens, plan.norms, plan.directions, plan.nodes, size_text(plan.streams));
  if (plan.direction > 0) text += fmt::format(", a direction {}", size_text(plan.direction));
  if (plan.decoder > 0) text += fmt::format(", the head's decoder {}", size_text(plan.decoder));
  if (available > 0) text += fmt::format(", of {} available", size_text(available));
  return text + work_text(plan.flops, plan.gemm_rate);
}

void require_memory(const FisherPlan& plan, const Model& model) {
  const Backend& backend = model.weights->backend();
  const std::string streams = fmt::format("{}: the residual streams of {} tokens at {} nodes",
                                          model.name, plan.tokens, plan.nodes);
  require_room(backend, plan.streams, streams + " take",
               "give fewer tokens, or one norm of a late block with --site");
  if (plan.direction > 0)
    require_room(backend, plan.streams + plan.direction, streams + " and a direction take",
                 kLessForDirection);
  if (plan.decoder > 0)
    require_room(backend, plan.streams + plan.decoder, streams + " and the head's decoder take",
                 kLessForDecoder);
}

}  // namespace deadray
