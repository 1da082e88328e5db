#include "verify/kernel_bench/bench_kernels.h"

#include <fmt/format.h>
#include <unistd.h>

#include <exception>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <regex>

#include "host/base/error.h"
#include "host/base/output.h"
#include "host/base/stop_signals.h"
#include "host/base/table/table.h"
#include "host/base/time_text.h"
#include "host/base/version.h"
#include "host/command/common_options.h"
#include "host/command/json_output.h"
#include "verify/kernel_bench/kernel_timing.h"
#include "verify/module/device_module.h"

namespace deadray {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::string device = "cuda", filter;
  bool quick = false;
  OutputOptions output;
};

/// A row and what came of it.
struct Result {
  KernelCase row;
  KernelTiming timing;
  std::string error;  ///< why there is no time

  bool measured() const { return error.empty(); }
  double bytes() const { return timing.bytes.value_or(row.bytes); }
  double bytes_per_second() const { return measured() ? bytes() / timing.seconds : 0.0; }
  double flops_per_second() const { return measured() ? row.flops / timing.seconds : 0.0; }
};

struct Ceilings {
  double copy = 0.0;                    ///< bytes per second, read and written
  double dgemm = 0.0, bf16_gemm = 0.0;  ///< floating-point operations per second

  double of(Gemm gemm) const { return gemm == Gemm::dgemm ? dgemm : bf16_gemm; }
};

int device_index(const std::string& text) {
  if (const auto index = cuda_index(text)) return *index;
  throw UsageError(fmt::format(
      "--device {}: expected cuda or cuda:N; kernels are measured on a CUDA device", text));
}

std::regex filter_of(const std::string& text) {
  try {
    return std::regex(text);
  } catch (const std::regex_error& error) {
    throw UsageError(fmt::format("--filter {}: not a regular expression: {}", text, error.what()));
  }
}

std::optional<double> percent(double rate, double ceiling) {
  if (rate <= 0 || ceiling <= 0) return std::nullopt;
  return 100 * rate / ceiling;
}
std::optional<double> percent_of_copy(const Result& result, const Ceilings& ceilings) {
  return result.measured() ? percent(result.bytes_per_second(), ceilings.copy) : std::nullopt;
}
std::optional<double> percent_of_gemm(const Result& result, const Ceilings& ceilings) {
  if (!result.measured() || result.row.gemm == Gemm::none) return std::nullopt;
  return percent(result.flops_per_second(), ceilings.of(result.row.gemm));
}

/// Whether the target is met; absent where there is none, or where what it refers to was not
/// measured.
std::optional<bool> target_met(const Result& result, const Ceilings& ceilings,
                               const std::map<std::string, double>& seconds_of) {
  const Target& target = result.row.target;
  std::optional<double> reached;
  if (target.of == Target::Of::copy) reached = percent_of_copy(result, ceilings);
  if (target.of == Target::Of::gemm) reached = percent_of_gemm(result, ceilings);
  if (target.of == Target::Of::row && result.measured() && seconds_of.contains(target.row))
    reached = 100 * seconds_of.at(target.row) / result.timing.seconds;
  if (!reached) return std::nullopt;
  return *reached >= 100 * target.at_least &&
         (target.workspace_below == 0 || result.timing.workspace_bytes < target.workspace_below);
}

Json or_null(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }
Json rate(bool counted, double value) { return counted ? Json(value) : Json(nullptr); }

Json row_json(const Result& result, const Ceilings& ceilings, const std::optional<bool>& met) {
  const KernelCase& row = result.row;
  Json shape = Json::object();
  for (const auto& [extent, value] : row.shape) shape[extent] = value;
  Json json{
      {"operation", row.operation},
      {"shape", shape},
      {"dtype", row.dtype},
      {"seconds", rate(result.measured(), result.timing.seconds)},
      {"bytes", rate(result.measured() && result.bytes() > 0, result.bytes())},
      {"bytes_per_second",
       rate(result.measured() && result.bytes() > 0, result.bytes_per_second())},
      {"flops_per_second", rate(result.measured() && row.flops > 0, result.flops_per_second())},
      {"percent_of_copy", or_null(percent_of_copy(result, ceilings))},
      {"percent_of_gemm", or_null(percent_of_gemm(result, ceilings))},
      {"gemm", row.gemm == Gemm::none ? Json(nullptr)
                                      : Json(row.gemm == Gemm::dgemm ? "dgemm" : "bf16_gemm")},
      {"workspace_bytes", result.timing.workspace_bytes},
      {"driver", result.timing.driver.empty() ? Json(nullptr) : Json(result.timing.driver)},
      {"target", row.target.text.empty() ? Json(nullptr) : Json(row.target.text)},
      {"met", met ? Json(*met) : Json(nullptr)}};
  if (!result.measured()) json["error"] = result.error;
  return json;
}

std::vector<std::string> cells_of(const Result& result, const Ceilings& ceilings,
                                  const std::optional<bool>& met) {
  const KernelCase& row = result.row;
  std::string shape;
  for (const auto& [extent, value] : row.shape)
    shape += fmt::format("{}{}={}", shape.empty() ? "" : " ", extent, value);
  if (!result.measured())
    return {row.operation, shape, row.dtype, "not measured", "", "", "", "", row.target.text, ""};
  const auto figure = [](bool counted, double value) {
    return counted ? fmt::format("{:.3g}", value) : "";
  };
  const auto share = [](const std::optional<double>& value) {
    return value ? fmt::format("{:.0f}", *value) : "";
  };
  return {row.operation,
          shape,
          row.dtype,
          duration(result.timing.seconds),
          figure(result.bytes() > 0, result.bytes_per_second() * 1e-9),
          figure(row.flops > 0, result.flops_per_second() * 1e-12),
          share(percent_of_copy(result, ceilings)),
          share(percent_of_gemm(result, ceilings)),
          row.target.text,
          met ? (*met ? "yes" : "NO") : ""};
}

Json device_json(const BenchDevice& device) {
  const kernels::cuda::DeviceInfo info = device.operations().device_info(device.index());
  return {{"name", info.name},
          {"index", device.index()},
          {"compute_capability", fmt::format("{}.{}", info.major, info.minor)},
          {"multiprocessors", info.multiprocessors},
          {"memory_bytes", info.total_bytes}};
}

Json versions_json(const BenchDevice& device) {
  const kernels::cuda::LibraryVersions versions = device.operations().library_versions();
  return {{"deadray", version()},
          {"cuda_driver", cuda_version_text(versions.driver)},
          {"cuda_runtime", cuda_version_text(versions.runtime)},
          {"cublas", versions.cublas},
          {"cusolver", versions.cusolver},
          {"cublas_file", versions.cublas_file},
          {"cusolver_file", versions.cusolver_file},
          {"cublas_emulates_fp64", device.operations().emulates_fp64(device.context())}};
}

/// All results of one run. What ends it early is kept, so that the rows before it can be written.
struct Run {
  Ceilings ceilings;
  std::vector<Result> results;
  std::exception_ptr ended_by;

  void measure(const BenchDevice& device, const Options& options) {
    const std::regex filter = filter_of(options.filter);
    const std::vector<KernelCase> bounds = ceiling_cases(options.quick),
                                  rows = kernel_cases(options.quick);
    try {
      for (const KernelCase& row : bounds) add(device, row, options);
      ceilings = {results[0].bytes_per_second(), results[1].flops_per_second(),
                  results[2].flops_per_second()};
      for (const KernelCase& row : rows)
        if (std::regex_search(row.name(), filter)) add(device, row, options);
    } catch (...) {
      ended_by = std::current_exception();
    }
  }

 private:
  /// A row that needs more memory than there is stays unmeasured; any other failure ends the run:
  /// the device may be lost.
  void add(const BenchDevice& device, const KernelCase& row, const Options& options) {
    throw_if_stopped();
    if (!options.output.quiet && isatty(STDERR_FILENO) == 1) write_message(row.name());
    Result& result = results.emplace_back(Result{row, {}, {}});
    try {
      result.timing = time_kernel(device, row, options.quick);
    } catch (const kernels::CudaError& error) {
      result.error = error.what();
      if (error.kind() != kernels::CudaError::Kind::out_of_memory)
        throw InternalError(error.what());
    }
  }
};

int run(const Options& options) {
  const int index = device_index(options.device);
  filter_of(options.filter);
  const JsonOutput json(options.output.json, {});
  catch_stop_signals();
  const BenchDevice device(index);
  Run all;
  all.measure(device, options);

  std::map<std::string, double> seconds_of;
  for (const Result& result : all.results)
    if (result.measured()) seconds_of[result.row.name()] = result.timing.seconds;
  Table table({{"operation"},
               {"shape"},
               {"dtype"},
               {"time", Align::right},
               {"GB/s", Align::right},
               {"TFLOP/s", Align::right},
               {"% of copy", Align::right},
               {"% of gemm", Align::right},
               {"target"},
               {"met"}});
  Json rows = Json::array();
  for (const Result& result : all.results) {
    const std::optional<bool> met = target_met(result, all.ceilings, seconds_of);
    table.add_row(cells_of(result, all.ceilings, met));
    rows.push_back(row_json(result, all.ceilings, met));
  }
  json.write({{"schema", "deadray/bench-kernels/1"},
              {"date", utc_now()},
              {"device", device_json(device)},
              {"versions", versions_json(device)},
              {"quick", options.quick},
              {"complete", all.ended_by == nullptr},
              {"ceilings",
               {{"copy_bytes_per_second", all.ceilings.copy},
                {"dgemm_flops_per_second", all.ceilings.dgemm},
                {"bf16_gemm_flops_per_second", all.ceilings.bf16_gemm}}},
              {"rows", rows}});
  if (options.output.table_wanted())
    write_output(table.render(colour_allowed(STDOUT_FILENO, options.output.no_color)));
  if (all.ended_by) std::rethrow_exception(all.ended_by);
  for (const Result& result : all.results)
    if (!result.measured()) throw ResourceError(result.error);
  return 0;
}

}  // namespace

void add_bench_kernels_command(CLI::App& bench, Command& chosen) {
  auto& command = *bench.add_subcommand(
      "kernels",
      "Every device operation by shape, against a copy and bare products of the same run");
  const auto options = std::make_shared<Options>();
  command.add_option("--device", options->device, "Which device")
      ->type_name("cuda[:N]")
      ->capture_default_str();
  command
      .add_option("--filter", options->filter,
                  "Only rows whose name OPERATION/SHAPE/DTYPE holds a match; the ceilings are "
                  "always measured")
      ->type_name("REGEX");
  command.add_flag("--quick", options->quick,
                   "Tiny shapes: shows that everything runs; its figures mean nothing");
  add_output_options(command, options->output);
  command.callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace deadray
