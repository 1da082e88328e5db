#include "verify/plan/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "host/architecture/catalogue.h"
#include "host/architecture/select_sites.h"
#include "host/base/in_quotes.h"
#include "verify/base/dtypes.h"
#include "verify/device/memory.h"
#include "verify/forward/block_loader.h"
#include "verify/forward/executor.h"
#include "verify/plan/gemm_rate.h"
#include "verify/probe/probe_group.h"

namespace deadray {

namespace {

double product(std::int64_t a, std::int64_t b) {
  return static_cast<double>(a) * static_cast<double>(b);
}

/// Numbers of the matrices of a block that one token meets: of the experts, the chosen ones.
double elements_met(const BlockSpec& block) {
  double elements = 0;
  for_each_linear(block, [&](const LinearSpec& linear, std::int64_t copies) {
    const std::int64_t met = copies > 1 ? block.mlp.routing->per_token : copies;
    elements += product(linear.inputs, linear.outputs) * static_cast<double>(met);
  });
  return elements;
}

/// Numbers that one token needs inside a block at once: the MLP's two wide tensors, or queries,
/// keys and values with their rotated copies; beside them the stream, a norm's output, and an FP32
/// copy of it.
double elements_per_token(const BlockSpec& block, std::int64_t hidden_size) {
  const std::int64_t experts = block.mlp.routing ? block.mlp.routing->per_token : 1;
  const std::int64_t wide =
      std::max(2 * block.mlp.in.outputs * experts, 3 * block.attention.qkv.outputs);
  return static_cast<double>(wide + 6 * hidden_size);
}

/// Bytes that the attention mask of a token's sequence takes for that token: a number for each key,
/// with ALiBi for each head too, and the truth values from which they are made.
double mask_bytes_per_token(const AttentionSpec& attention, std::int64_t length, double bytes) {
  const std::int64_t numbers = attention.alibi ? attention.n_heads + 1 : 1;
  return static_cast<double>(length) * (static_cast<double>(numbers) * bytes + 2);
}

/// Bytes of a norm's moments while its block runs, and of the decomposition of one of them.
struct MomentBytes {
  double kept = 0, spectrum = 0;
};

MomentBytes moment_bytes(std::int64_t d, Method method) {
  const double square = product(d, d) * 8;
  switch (method) {
    case Method::directional:
      return {0, 0};
    case Method::certificate:
      return {kMatricesOfProbe * square, 2 * square};
    case Method::eigh:  // at worst the full one: its sums, vectors, LAPACK's workspace of two
      return {kMatricesOfProbe * square, 4 * square};
  }
  return {};
}

}  // namespace

double Plan::peak() const noexcept {
  return stream + moments + ahead + std::max(weights + activations, spectrum);
}

double forward_flops(const Stack& stack, std::int64_t tokens, std::int64_t sequence_length,
                     std::int64_t first) {
  const auto n_tokens = static_cast<double>(tokens);
  double flops = 0;
  for (std::int64_t index = first; index < stack.n_blocks; ++index) {
    const BlockSpec& block = stack.block(index);
    const AttentionSpec& attention = block.attention;
    // Keys that a query meets: its whole sequence, or half of it on average.
    const double keys = static_cast<double>(sequence_length) * (attention.causal ? 0.5 : 1.0);
    flops += 2 * elements_met(block) * n_tokens;
    flops += 4 * product(attention.n_heads, attention.head_dim) * keys * n_tokens;
  }
  return flops;
}

Plan reckon(const Model& model, std::int64_t sequences, std::int64_t length,
            const MeasurementOptions& options, bool masked) {
  const Architecture& architecture = model.architecture;
  const at::ScalarType dtype = scalar_type(options.probe.dtype);
  const auto bytes = static_cast<double>(c10::elementSize(dtype));
  const std::int64_t d = architecture.hidden_size;
  Plan plan;
  plan.tokens = sequences * length;
  plan.stream = product(plan.tokens, d) * bytes;
  const auto tile = static_cast<double>(
      std::max(length, std::min(plan.tokens, tokens_of_tile(architecture, {}))));
  for (const BlockSpec& kind : architecture.block_kinds) {
    plan.weights = std::max(plan.weights, block_bytes(kind, dtype));
    double of_token = elements_per_token(kind, d) * bytes;
    if (masked) of_token += mask_bytes_per_token(kind.attention, length, bytes);
    plan.activations = std::max(plan.activations, tile * of_token);
  }
  if (model.weights->backend().loads_ahead()) plan.ahead = plan.weights;

  // The norms of one block are measured at the same time, one outside the blocks by itself.
  const std::vector<NormSite> sites = select_sites(model.sites, options.site);
  const bool side_by_side = runs_side_by_side(options.probe, model.weights->backend());
  std::map<std::int64_t, double> kept;
  std::map<std::int64_t, std::int64_t> of_block;
  double waiting = 0;
  for (const NormSite& site : sites) {
    const MomentBytes moments = moment_bytes(site.hidden_size, options.probe.method);
    const GroupBytes group =
        bytes_of_group(moments.kept, static_cast<std::int64_t>(sites.size()), side_by_side);
    plan.moments = std::max(plan.moments, kept[site.block] += moments.kept);
    plan.spectrum =
        std::max(plan.spectrum, static_cast<double>(group.decomposed) * moments.spectrum);
    waiting = std::max(waiting, group.waiting);
    // Beside the tile itself: its FP64 rows, recomputed and centred, of every task that runs.
    const std::int64_t tasks = tasks_at_once(++of_block[site.block], side_by_side);
    plan.activations =
        std::max(plan.activations, static_cast<double>(tasks) *
                                       std::min(tile, static_cast<double>(plan.tokens)) *
                                       static_cast<double>(site.hidden_size) * 2 * 8);
  }
  if (sites.size() > 1) plan.moments += waiting;  // a single norm waits for none
  if (options.residual) plan.spectrum = std::max(plan.spectrum, 4 * product(d, d) * 8);
  plan.forward_flops = forward_flops(architecture, plan.tokens, length);
  return plan;
}

std::string describe(const Plan& plan, const Model& model, std::int64_t available) {
  std::string text = fmt::format(
      "{}: {} tokens; {} of weights {}, residual stream {}, activations {}, moments {}, "
      "spectrum {}: {} at most",
      on_one_line(model.name), plan.tokens, plan.ahead > 0 ? "two blocks" : "a block",
      size_text(plan.weights + plan.ahead), size_text(plan.stream), size_text(plan.activations),
      size_text(plan.moments), size_text(plan.spectrum), size_text(plan.peak()));
  if (available > 0)
    text += fmt::format(" of {} available", size_text(static_cast<double>(available)));
  return text + work_text(plan.forward_flops, plan.gemm_rate);
}

}  // namespace deadray
