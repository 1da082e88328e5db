#include "verify/plan/planned_measurement.h"

#include <fmt/format.h>

#include <algorithm>

#include "host/base/output.h"
#include "host/base/progress.h"
#include "verify/base/dtypes.h"
#include "verify/device/memory.h"
#include "verify/forward/block_loader.h"
#include "verify/plan/gemm_rate.h"
#include "verify/plan/plan_advice.h"

namespace deadray {
namespace {

double gemm_rate_of(const Model& model, const MeasurementOptions& options) {
  return measure_gemm_rate(model.weights->backend(), scalar_type(options.probe.dtype),
                           model.architecture.hidden_size);
}

}  // namespace

void prepare_memory(const Architecture& architecture, DType dtype) {
  constexpr double kLarge = 64.0 * 1024 * 1024;  // smaller ones were a little slower for it
  for (const BlockSpec& kind : architecture.block_kinds)
    if (block_bytes(kind, scalar_type(dtype)) >= kLarge) return ask_for_large_pages();
}

Plan plan_measurement(const Model& model, const Calibration& calibration,
                      MeasurementOptions& options) {
  const auto reckoned = [&] {
    return reckon(model, calibration.sequences(), calibration.length(), options,
                  calibration.attended.defined());
  };
  Plan plan = reckoned();
  if (!fits_memory(plan, available_memory(model.weights->backend()))) {
    options.probe.side_by_side = false;
    plan = reckoned();
  }
  if (plan.forward_flops > kWorthAsking) plan.gemm_rate = gemm_rate_of(model, options);
  return plan;
}

Measurement measure_as_planned(Plan& plan, const Model& model, const Calibration& calibration,
                               MeasurementOptions options, bool quiet) {
  const std::int64_t available = available_memory(model.weights->backend());
  require_memory(plan, model, calibration, options, available);
  const bool is_large = plan.gemm_rate > 0;
  if (is_large && !quiet) write_message("plan: " + describe(plan, model, available));
  Progress progress(fmt::format("{}: block", model.name), quiet);
  options.progress = [&](std::int64_t done, std::int64_t total) { progress.show(done, total); };
  Measurement measurement = measure(model, calibration, options);
  progress.clear();
  if (is_large && !measurement.stopped)
    plan.gemm_rate = std::max(plan.gemm_rate, gemm_rate_of(model, options));
  return measurement;
}

}  // namespace deadray
