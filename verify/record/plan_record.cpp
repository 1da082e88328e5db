#include "verify/record/plan_record.h"

#include <nlohmann/json.hpp>

#include "host/architecture/catalogue.h"
#include "host/architecture/select_sites.h"
#include "verify/device/environment_json.h"
#include "verify/plan/plan_advice.h"
#include "verify/record/record.h"

namespace deadray {

nlohmann::ordered_json plan_record(const Plan& plan, const Model& model,
                                   const Calibration& calibration,
                                   const MeasurementOptions& options, std::int64_t available) {
  using Json = nlohmann::ordered_json;
  const bool known = available > 0, fit = fits_memory(plan, available);
  const RecordHeader header = record_header(model, calibration, options.probe.dtype, plan);
  Json record = record_json(header, "deadray/plan/1");
  record["norms"] = select_sites(model.sites, options.site).size();
  record["method"] = to_string(options.probe.method);
  record["bytes"] = {{"weights", plan.weights + plan.ahead},
                     {"stream", plan.stream},
                     {"activations", plan.activations},
                     {"moments", plan.moments},
                     {"spectrum", plan.spectrum},
                     {"peak", plan.peak()}};
  record["forward"] = {{"flops", plan.forward_flops}};
  record["fits"] = known ? Json(fit) : Json(nullptr);
  record["way_out"] = fit ? Json(nullptr) : Json(way_out(model, calibration, options, available));
  record["notes"] = header.notes;
  record["seconds"] = {{"forward", plan.gemm_rate > 0 ? Json(plan.seconds()) : Json(nullptr)}};
  record["environment"] = environment_json(model.weights->backend());
  record["environment"]["available_bytes"] = known ? Json(available) : Json(nullptr);
  record["environment"]["gemm_flops_per_second"] =
      plan.gemm_rate > 0 ? Json(plan.gemm_rate) : Json(nullptr);
  return record;
}

}  // namespace deadray
