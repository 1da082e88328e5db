#include "verify/plan/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "host/architecture/catalogue.h"
#include "host/architecture/select_sites.h"
#include "host/base/output.h"
#include "host/base/progress.h"
#include "host/base/stopwatch.h"
#include "host/base/time_text.h"
#include "verify/base/dtypes.h"
#include "verify/device/memory.h"
#include "verify/forward/executor.h"
#include "verify/plan/plan_advice.h"

namespace deadray {

namespace {

double product(std::int64_t a, std::int64_t b) {
  return static_cast<double>(a) * static_cast<double>(b);
}

/// Numbers of the matrices of a block; `active`: only those that one token meets.
double matrix_elements(const BlockSpec& block, bool active) {
  double elements = 0;
  for_each_linear(block, [&](const LinearSpec& linear, std::int64_t copies) {
    const std::int64_t met = active && copies > 1 ? block.mlp.routing->per_token : copies;
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

/// Bytes of the moments of a norm while its block runs, and of a decomposition of one of them.
struct MomentBytes {
  double kept = 0, spectrum = 0;
};
MomentBytes moment_bytes(std::int64_t d, Method method) {
  const double square = product(d, d) * 8;
  if (method == Method::directional) return {0, 0};
  // Kept: input, exact, deployed. Decomposition, at worst the full one: the covariance beside its
  // sums, vectors, LAPACK's two squares of workspace.
  return {3 * square, (method == Method::eigh ? 4 : 2) * square};
}

}  // namespace

double Plan::peak() const noexcept {
  return stream + moments + std::max(weights + activations, spectrum);
}

double forward_flops(const Stack& stack, std::int64_t tokens, std::int64_t sequence_length,
                     std::int64_t first) {
  double flops = 0;
  for (std::int64_t index = first; index < stack.n_blocks; ++index) {
    const BlockSpec& block = stack.block(index);
    const AttentionSpec& attention = block.attention;
    const double seen = static_cast<double>(sequence_length) * (attention.causal ? 0.5 : 1.0);
    flops += 2 * matrix_elements(block, /*active=*/true) * static_cast<double>(tokens);
    flops +=
        4 * product(attention.n_heads, attention.head_dim) * seen * static_cast<double>(tokens);
  }
  return flops;
}

double measure_gemm_rate(Backend& backend, at::ScalarType dtype, std::int64_t n) {
  const c10::InferenceMode no_derivatives;
  n = std::min<std::int64_t>(n, 4096);
  const auto options = at::device(backend.device()).dtype(dtype);
  const at::Tensor x = at::full({1024, n}, 0.5, options), w = at::full({4 * n, n}, 0.5, options);
  double best = 0;
  for (int repetition = 0; repetition < 4; ++repetition) {  // the first one builds the kernel
    backend.synchronize();
    const Stopwatch watch;
    const at::Tensor y = at::linear(x, w);
    backend.synchronize();
    if (repetition > 0) best = std::max(best, 2.0 * 1024 * product(n, 4 * n) / watch.seconds());
  }
  return best;
}

Plan reckon(const Model& model, std::int64_t sequences, std::int64_t length,
            const MeasurementOptions& options) {
  const Architecture& architecture = model.architecture;
  const auto bytes = static_cast<double>(c10::elementSize(scalar_type(options.probe.dtype)));
  const std::int64_t d = architecture.hidden_size;
  Plan plan;
  plan.tokens = sequences * length;
  plan.stream = product(plan.tokens, d) * bytes;
  const auto tile = static_cast<double>(
      std::max(length, std::min(plan.tokens, tokens_of_tile(architecture, {}))));
  for (const BlockSpec& kind : architecture.block_kinds) {
    plan.weights = std::max(plan.weights, matrix_elements(kind, /*active=*/false) * bytes);
    plan.activations = std::max(plan.activations, tile * elements_per_token(kind, d) * bytes);
  }
  if (model.weights->backend().loads_ahead()) plan.weights *= 2;

  // The norms of one block are measured at the same time, one outside the blocks by itself.
  std::map<std::int64_t, double> kept;
  for (const NormSite& site : select_sites(model.sites, options.site)) {
    const MomentBytes moments = moment_bytes(site.hidden_size, options.probe.method);
    plan.moments = std::max(plan.moments, kept[site.block] += moments.kept);
    plan.spectrum = std::max(plan.spectrum, moments.spectrum);
  }
  if (options.residual) plan.spectrum = std::max(plan.spectrum, 4 * product(d, d) * 8);
  plan.forward_flops = forward_flops(architecture, plan.tokens, length);
  return plan;
}

Plan plan_measurement(const Model& model, const Calibration& calibration,
                      const MeasurementOptions& options) {
  Plan plan = reckon(model, calibration.sequences(), calibration.length(), options);
  if (plan.forward_flops > kWorthAsking)
    plan.gemm_rate = measure_gemm_rate(model.weights->backend(), scalar_type(options.probe.dtype),
                                       model.architecture.hidden_size);
  return plan;
}

std::string describe(const Plan& plan, const Model& model, std::int64_t available) {
  std::string text = fmt::format(
      "{}: {} tokens; a block of weights {}, residual stream {}, activations {}, moments {}, "
      "spectrum {}: {} at most",
      model.name, plan.tokens, size_text(plan.weights), size_text(plan.stream),
      size_text(plan.activations), size_text(plan.moments), size_text(plan.spectrum),
      size_text(plan.peak()));
  if (available > 0)
    text += fmt::format(" of {} available", size_text(static_cast<double>(available)));
  text += fmt::format("; {:.2g} flops", plan.forward_flops);
  if (plan.gemm_rate > 0)
    text += fmt::format(", {} or more at the {:.2g} TFLOP/s of a large product here",
                        long_duration(plan.seconds()), plan.gemm_rate / 1e12);
  return text;
}

Measurement measure_as_planned(Plan& plan, const Model& model, const Calibration& calibration,
                               MeasurementOptions options, bool quiet) {
  const std::int64_t available = available_memory(model.weights->backend());
  require_memory(plan, model, calibration, options, available);
  if (plan.gemm_rate > 0 && !quiet) write_message("plan: " + describe(plan, model, available));
  Progress progress(fmt::format("{}: block", model.name), quiet);
  options.progress = [&](std::int64_t done, std::int64_t total) { progress.show(done, total); };
  Measurement measurement = measure(model, calibration, options);
  progress.clear();
  if (plan.gemm_rate > 0 && !measurement.stopped) {
    const double after = measure_gemm_rate(
        model.weights->backend(), scalar_type(options.probe.dtype), model.architecture.hidden_size);
    plan.gemm_rate = std::max(plan.gemm_rate, after);
  }
  return measurement;
}

}  // namespace deadray
