#include "verify/record/record.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/headeronly/version.h>

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>

#include "host/base/version.h"
#include "host/command/prediction_report.h"
#include "verify/base/dtypes.h"
#include "verify/base/machine.h"

namespace deadray {

namespace {

using Json = nlohmann::ordered_json;

/// JSON has no NaN and no infinity: null then.
Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }
Json number(const std::optional<double>& value) { return value ? number(*value) : Json(nullptr); }
Json numbers(const std::vector<double>& values) {
  Json list = Json::array();
  for (const double value : values) list.push_back(number(value));
  return list;
}

/// Four significant digits: what a picture needs, in a third of the text. A value whose four digits
/// are no double, beyond the largest one, stays as it is.
double rounded(double value) {
  const std::string digits = fmt::format("{:.3e}", value);
  // std::stod would throw for subnormal numbers.
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}
Json rounded(const std::vector<double>& values) {
  Json list = Json::array();
  for (const double value : values) list.push_back(number(rounded(value)));
  return list;
}

Json spectrum_json(const SiteResult& result) {
  const auto of = [](const std::optional<Reading>& reading) {
    return reading && !reading->spectrum.empty() ? rounded(reading->spectrum) : Json();
  };
  const Json exact = of(result.exact), deployed = of(result.deployed);
  if (exact.is_null() && deployed.is_null()) return nullptr;
  return {{"index", spectrum_indices(result.site.hidden_size)},
          {"exact", exact},
          {"deployed", deployed}};
}

Json scaled_json(const std::optional<ScaledReading>& scaled) {
  if (!scaled) return nullptr;
  return {{"principal_cosines", numbers(scaled->principal_cosines)},
          {"dimension", scaled->dimension},
          {"next", number(scaled->next)},
          {"floor", number(scaled->floor)},
          {"gap", number(scaled->gap)}};
}

Json reading_json(const std::optional<Reading>& reading) {
  if (!reading) return nullptr;
  const Eigenvalues& lambda = reading->eigenvalues;
  return {{"abs_cos", number(reading->abs_cos)},
          {"principal_cosines", numbers(reading->principal_cosines)},
          {"dimension", reading->dimension},
          {"lambda_v", number(reading->lambda_v)},
          {"eigenvalues",
           {{"first", number(lambda.first)},
            {"second", number(lambda.second)},
            {"next", number(lambda.next)},
            {"mean", number(lambda.mean)},
            {"last", number(lambda.last)}}},
          {"residual", number(reading->residual)},
          {"chance_p", number(reading->chance_p)},
          {"floor", number(reading->floor)},
          {"gap", number(reading->gap)},
          {"depth", number(reading->lambda_v / lambda.mean)},
          {"below", reading->below},
          {"random_variance", number(reading->random_variance)},
          {"driver", reading->driver},
          {"scaled", scaled_json(reading->scaled)}};
}

Json site_json(const SiteResult& result) {
  return {{"name", result.site.name},
          {"norm", to_string(result.site.kind)},
          {"final", result.site.is_final},
          {"hidden_size", result.site.hidden_size},
          {"predicted", to_json(result.predicted)},
          {"inherited", result.inherited},
          {"gamma", gamma_json(result.site, result.predicted)},
          {"exact", reading_json(result.exact)},
          {"deployed", reading_json(result.deployed)},
          {"spectrum", spectrum_json(result)},
          {"schur",
           {{"input", number(result.schur_input)},
            {"output", number(result.schur_output)},
            {"null", number(result.schur_null)}}},
          {"verdict", to_string(result.judgement.verdict)},
          {"reason", result.judgement.reason}};
}

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

nlohmann::ordered_json environment_json(const Backend& backend,
                                        const std::vector<std::string>& hosts) {
  const auto cuda = backend.cuda_version();
  return {{"version", version()},
          {"commit", build_commit()},
          {"device", backend.description()},
          {"threads", at::get_num_threads()},
          {"ranks", std::max<std::size_t>(hosts.size(), 1)},
          {"hosts", hosts.empty() ? Json(nullptr) : Json(hosts)},
          {"libtorch", TORCH_VERSION},
          {"cuda", cuda ? Json(*cuda) : Json(nullptr)}};
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
