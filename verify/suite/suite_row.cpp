#include "verify/suite/suite_row.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include "host/architecture/catalogue.h"
#include "host/architecture/norm_parameters.h"
#include "host/base/atomic_file.h"
#include "host/base/json_text.h"
#include "host/base/stop_signals.h"
#include "host/base/stopwatch.h"
#include "host/base/time_text.h"
#include "host/prediction/classify.h"
#include "host/prediction/prediction_json.h"
#include "verify/base/dtypes.h"
#include "verify/base/machine.h"
#include "verify/calibration/default_calibration.h"
#include "verify/device/device_option.h"
#include "verify/plan/planned_measurement.h"
#include "verify/record/record.h"
#include "verify/suite/row_record.h"

namespace deadray {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::int64_t kSequenceLength = 512;

/// @return notes on what differs but is no reason to stop
/// @throws MalformedError where the configuration has another final norm
std::vector<std::string> compare_with_roster(const RosterEntry& entry, const Model& model,
                                             const std::string& config) {
  for (const NormSite& site : model.sites)
    if (site.is_final && entry.norm && site.kind != *entry.norm)
      throw MalformedError(
          fmt::format("the roster expects norm {}, but {} gives '{}' as {}: correct one of them",
                      to_string(*entry.norm), config, site.name, to_string(site.kind)));
  const std::int64_t parameters = count_parameters(model.architecture);
  if (!entry.parameters || *entry.parameters == parameters) return {};
  return {fmt::format("the roster says {} parameters, what deadray describes has {}",
                      *entry.parameters, parameters)};
}

/// What the parameters alone say of a norm. Weights drawn at random carry no trace of training:
/// only whether there is a beta counts.
NormEvidence classify(const Model& model, const NormSite& site) {
  if (model.checkpoint)
    return classify_norm(*model.checkpoint, site, load_norm(*model.checkpoint, site));
  NormEvidence evidence;
  if (site.bias.empty()) return evidence;
  evidence.source = NormEvidence::Source::beta;
  evidence.suggested = NormKind::layernorm;
  return evidence;
}

Json machine_json(const Backend& backend) {
  const Machine machine = this_machine();
  return {{"cpu", machine.cpu},
          {"cores", machine.cores},
          {"memory_bytes", machine.memory_bytes},
          {"device", backend.description()}};
}

Json suite_json(const SuiteOptions& options, const Row& row, const RowSource& source,
                const std::string& started, const Backend& backend) {
  const auto or_null = [](const std::string& text) { return text.empty() ? Json() : Json(text); };
  const std::string revision = source.commit.empty() ? row.entry.revision : source.commit;
  return {{"roster", options.roster.string()},
          {"hf_id", or_null(row.entry.hf_id)},
          {"revision", row.init == Source::checkpoint ? or_null(revision) : Json()},
          {"inputs", row_inputs(options, row, source)},
          {"command", command_line(row_arguments(options, row))},
          {"commit", build_commit()},
          {"started", started},
          {"machine", machine_json(backend)}};
}

CalibrationRequest calibration_request(const SuiteOptions& options, const RosterEntry& entry) {
  CalibrationRequest request;
  request.tokens = calibration_file(options, entry);
  request.random_tokens = options.random_tokens;
  request.sequence_length = entry.sequence_length;
  request.skip_tokens = options.skip_tokens;
  request.default_length = options.sequence_length > 0 ? options.sequence_length : kSequenceLength;
  request.seed = options.seed;
  request.checkpoint = options.checkpoint;
  return request;
}

MeasurementOptions measurement_options(const SuiteOptions& options) {
  MeasurementOptions measurement;
  measurement.probe.method = options.method;
  measurement.probe.dtype = options.dtype;
  measurement.probe.seed = options.seed;
  measurement.probe.predict.relative_tau = options.relative_tau;
  measurement.site = options.site;
  measurement.residual = !options.no_residual;
  return measurement;
}

}  // namespace

ExitCode measure_row(const SuiteOptions& options, const Row& row) {
  const Stopwatch watch;
  const std::string started = utc_now();
  const std::unique_ptr<Backend> device = backend_of_device(options.device);
  Backend& backend = device ? *device : cpu_backend();
  if (options.threads > 0) at::set_num_threads(options.threads);
  const RowSource source = locate(row);
  if (!source.missing.empty()) throw UsageError(source.missing);
  Json suite = suite_json(options, row, source, started, backend);  // inputs before the work

  const auto model = prepare_model(
      row.entry.name, Config::parse(source.config, source.config_name), source.weights,
      {row.init == Source::random, options.seed, options.checkpoint, &backend});
  prepare_memory(model->architecture, options.dtype);
  const std::vector<std::string> notes = compare_with_roster(row.entry, *model, source.config_name);
  const Calibration calibration =
      make_calibration(model->architecture, model->name, calibration_request(options, row.entry));
  MeasurementOptions measuring = measurement_options(options);
  Plan plan = plan_measurement(*model, calibration, measuring);
  const Measurement measurement =
      measure_as_planned(plan, *model, calibration, std::move(measuring), options.output.quiet);
  if (measurement.stopped) throw *measurement.stopped;  // a row is whole or it is not there

  RecordHeader header = record_header(*model, calibration, options.dtype, plan);
  for (const auto& more : {measurement.notes, notes})
    header.notes.insert(header.notes.end(), more.begin(), more.end());
  Json record = verify_record(header, measurement, backend);
  for (std::size_t i = 0; i < measurement.sites.size(); ++i) {
    throw_if_stopped();
    record["sites"][i]["classified"] = to_json(classify(*model, measurement.sites[i].site));
  }
  suite.update({{"seconds", watch.seconds()}, {"peak_memory_bytes", peak_memory_bytes()}});
  record["suite"] = std::move(suite);
  write_file_atomically(record_file(options, row), record_text(record));
  return exit_code_of(measurement);
}

}  // namespace deadray
