#include "verify/bench_timing.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>

#include "host/error.h"
#include "host/predictor.h"
#include "host/stopwatch.h"
#include "host/table.h"
#include "kernels/random_normal.h"
#include "verify/certificate.h"
#include "verify/comparison.h"
#include "verify/eigh.h"
#include "verify/moments.h"
#include "verify/norm_rows.h"
#include "verify/record.h"

namespace deadray {

namespace {

struct TimingOptions {
  std::vector<std::int64_t> dims = {256, 1024, 2048};
  std::vector<std::string> methods = {"predict", "directional", "certificate", "eigh"};
  int repetitions = 3;
  OutputOptions output;
};

at::Tensor normals(std::string_view stream, at::IntArrayRef shape) {
  at::Tensor out = at::empty(shape, at::kFloat);
  kernels::random_normal(/*seed=*/0, kernels::stream_of(stream), 0, out.numel(), 1.0F, out.data_ptr<float>());
  return out;
}

/// A LayerNorm with gamma spread around 1, and 1.25 d Gaussian rows that have passed it.
struct Problem {
  NormParameters norm;
  DeadSubspace predicted;
  at::Tensor rows;        ///< [N, d] FP64, beta subtracted
  at::Tensor covariance;  ///< [d, d]

  explicit Problem(std::int64_t d) {
    NormSite site;
    site.hidden_size = d;
    site.eps = 1e-5;
    const at::Tensor gamma = (normals("gamma", {d}) * 0.2 + 1.0).to(at::kDouble), beta = (normals("beta", {d}) * 0.1).to(at::kDouble);
    norm.gamma.assign(gamma.const_data_ptr<double>(), gamma.const_data_ptr<double>() + d);
    norm.beta.assign(beta.const_data_ptr<double>(), beta.const_data_ptr<double>() + d);
    predicted = predict(NormKind::layernorm, norm.gamma, norm.beta);
    rows = recompute_norm(site, norm, normals("rows", {d + d / 4, d}));
    CentredMoments moments(d, at::zeros({d}, at::kDouble));
    moments.add(rows);
    covariance = moments.covariance();
  }
};

double run_once(const std::string& method, const Problem& problem) {
  const at::Tensor basis = basis_of(problem.predicted, problem.rows.size(1));
  const Stopwatch watch;
  if (method == "predict") {
    constexpr int kTimes = 1000;  // too short for one reading of the clock
    for (int i = 0; i < kTimes; ++i) predict(NormKind::layernorm, problem.norm.gamma, problem.norm.beta);
    return watch.seconds() / kTimes;
  }
  if (method == "directional") {
    DirectionalMoments moments(basis.t().contiguous(), at::zeros({problem.rows.size(1)}, at::kDouble));
    moments.add(problem.rows);
    moments.variance();
  } else if (method == "certificate") {
    certify(problem.covariance, basis);
  } else {
    eigh(problem.covariance);
  }
  return watch.seconds();
}

int run_timing(const TimingOptions& options) {
  JsonOutput json(options.output.json);
  auto rows = nlohmann::ordered_json::array();
  Table table({{"d", Align::right}, {"method"}, {"seconds", Align::right}, {"eigh takes", Align::right}});
  for (const std::int64_t d : options.dims) {
    const Problem problem(d);
    std::vector<std::pair<std::string, double>> medians;
    for (const std::string& method : options.methods) {
      std::vector<double> seconds;
      for (int i = 0; i < options.repetitions; ++i) seconds.push_back(run_once(method, problem));
      std::nth_element(seconds.begin(), seconds.begin() + options.repetitions / 2, seconds.end());
      medians.emplace_back(method, seconds[options.repetitions / 2]);
    }
    const auto eigh_median = std::find_if(medians.begin(), medians.end(), [](const auto& entry) { return entry.first == "eigh"; });
    for (const auto& [method, seconds] : medians) {
      rows.push_back({{"d", d}, {"method", method}, {"seconds", seconds}, {"repetitions", options.repetitions}});
      table.add_row({fmt::format("{}", d), method, fmt::format("{:.3g}", seconds),
                     eigh_median == medians.end() ? "" : fmt::format("{:.3g} x", eigh_median->second / seconds)});
    }
  }
  json.write({{"schema", "deadray/timing/1"}, {"rows", rows}, {"environment", environment_json()}});
  if (options.output.table_wanted()) write_output(table.render(colour_allowed(STDOUT_FILENO, options.output.no_color)));
  return static_cast<int>(ExitCode::done);
}

}  // namespace

void add_bench_timing_command(CLI::App& bench, Command& chosen) {
  auto options = std::make_shared<TimingOptions>();
  CLI::App& command = *bench.add_subcommand("timing", "Prediction, directional variance, certificate and eigendecomposition side by side");
  command.add_option("--dims", options->dims, "Hidden sizes")->delimiter(',')->check(positive_integer())->capture_default_str();
  command.add_option("--methods", options->methods, "Which of predict, directional, certificate, eigh")
      ->delimiter(',')
      ->check(CLI::IsMember({"predict", "directional", "certificate", "eigh"}))
      ->capture_default_str();
  command.add_option("--repetitions", options->repetitions, "Runs of each; the median counts")
      ->check(positive_integer())
      ->capture_default_str();
  add_output_options(command, options->output);
  command.callback([options, &chosen] { chosen = [options] { return run_timing(*options); }; });
}

}  // namespace deadray
