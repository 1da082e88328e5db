#include "verify/record/record.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>
#include <string>

#include "host/base/json/json_numbers.h"
#include "host/prediction/prediction_json.h"
#include "verify/base/dtypes.h"
#include "verify/device/environment_json.h"
#include "verify/probe/site_json.h"

namespace deadray {

namespace {

using Json = nlohmann::ordered_json;

Json residual_json(const std::optional<ResidualSpectrum>& residual) {
  if (!residual) return nullptr;
  return {{"centred", numbers(residual->centred)},
          {"uncentred", numbers(residual->uncentred)},
          {"reference", residual->reference ? Json(*residual->reference) : Json(nullptr)},
          {"rank", residual->rank ? Json(*residual->rank) : Json(nullptr)},
          {"restricted", numbers(residual->restricted)},
          {"ratio", numbers(residual->ratio)},
          {"steps", numbers(residual->steps)},
          {"excluded", residual->excluded},
          {"reason", residual->reason},
          {"preserved", residual->preserved ? Json(*residual->preserved) : Json(nullptr)}};
}

}  // namespace

RecordHeader record_header(const Model& model, const Calibration& calibration, DType dtype,
                           const Plan& plan) {
  RecordHeader header;
  header.name = model.name;
  header.family = model.architecture.family;
  header.hub = model.hub;
  header.source = model.source;
  header.parameters = count_parameters(model.architecture);
  header.dtype = dtype;
  header.calibration = calibration.kind;
  header.drawn_at_random = calibration.file.empty();
  header.tokens = calibration.tokens();
  header.rows = calibration.rows();
  header.masked = calibration.masked();
  header.skipped = calibration.skipped();
  header.sequence_length = calibration.length();
  header.seed = calibration.seed;
  if (calibration.pixels.defined()) header.pixels = calibration.pixels.sizes().vec();
  if (model.checkpoint) header.notes = model.checkpoint->notes();
  for (const auto& more : {model.architecture.notes, calibration.notes})
    header.notes.insert(header.notes.end(), more.begin(), more.end());
  header.forward_flops = plan.forward_flops;
  header.gemm_rate = plan.gemm_rate;
  return header;
}

RecordHeader record_header(const ActivationsResult& result) {
  RecordHeader header;
  header.name = result.file.stem().string();
  header.family = "activations";
  header.source = Source::activations;
  header.dtype = result.dtype;
  header.calibration = result.file.filename().string();
  header.drawn_at_random = false;
  header.tokens = header.rows = result.rows;
  header.notes = result.notes;
  return header;
}

std::string left_out_text(const RecordHeader& header) {
  std::vector<std::string> parts;
  if (header.masked > 0) parts.push_back(fmt::format("{} masked", header.masked));
  if (header.skipped > 0) parts.push_back(fmt::format("{} skipped", header.skipped));
  return fmt::format("{}", fmt::join(parts, ", "));
}

nlohmann::ordered_json record_json(const RecordHeader& header, std::string_view schema) {
  return {{"schema", schema},
          {"model",
           {{"name", header.name},
            {"hub", to_json(header.hub)},
            {"family", header.family},
            {"parameters", header.parameters > 0 ? Json(header.parameters) : Json(nullptr)},
            {"init", to_string(header.source)},
            {"dtype", long_name(header.dtype)}}},
          {"calibration",
           {{"kind", header.calibration},
            {"tokens", header.tokens},
            {"sequence_length", header.sequence_length},
            {"seed", header.seed},
            {"pixels", header.pixels.empty() ? Json(nullptr) : Json(header.pixels)},
            {"rows", header.rows},
            {"masked", header.masked},
            {"skipped", header.skipped}}}};
}

nlohmann::ordered_json verify_record(const RecordHeader& header, const Measurement& measurement,
                                     const Backend& backend) {
  const Seconds& seconds = measurement.seconds;
  Json record = record_json(header, "deadray/verify/1");
  record["sites"] = Json::array();
  for (const SiteResult& result : measurement.sites) record["sites"].push_back(site_json(result));
  record["residual"] = residual_json(measurement.residual);
  record["notes"] = header.notes;
  record["seconds"] = {{"predict", seconds.predict},   {"load", seconds.load},
                       {"forward", seconds.forward},   {"moments", seconds.moments},
                       {"spectrum", seconds.spectrum}, {"total", seconds.total}};
  record["forward"] =
      header.forward_flops > 0 ? Json{{"flops", header.forward_flops}} : Json(nullptr);
  record["complete"] = !measurement.stopped;
  record["environment"] = environment_json(backend, header.hosts);
  record["environment"]["gemm_flops_per_second"] =
      header.gemm_rate > 0 ? number(header.gemm_rate) : Json(nullptr);
  return record;
}

}  // namespace deadray
