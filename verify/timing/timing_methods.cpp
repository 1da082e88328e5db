#include "verify/timing/timing_methods.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <span>

#include "host/architecture/norm_parameters.h"
#include "host/base/atomic_file.h"
#include "host/base/error.h"
#include "host/base/stopwatch.h"
#include "host/formats/safetensors_writer.h"
#include "verify/device/channel.h"
#include "verify/device/memory.h"
#include "verify/numerics/eigh.h"
#include "verify/spectrum/certificate.h"
#include "verify/timing/predictor_timing.h"

namespace deadray {
namespace {

constexpr int kPredictions = 1000;  // one is too short for a reading of the clock

double square(std::int64_t d) { return static_cast<double>(d) * static_cast<double>(d) * 8; }

/// Bytes of the FP64 matrices that a method makes beside the rows and the covariance; an upper
/// estimate.
double bytes_of(TimingMethod method, std::int64_t n, std::int64_t d) {
  const double rows = static_cast<double>(n) * static_cast<double>(d) * 8,
               tile = std::min(rows, 2048.0 * static_cast<double>(d) * 8);
  switch (method) {
    case TimingMethod::directional:
      return 2 * tile;
    case TimingMethod::moments:
      return 2 * tile + 3 * square(d);
    case TimingMethod::certificate:
      return 2 * square(d);
    case TimingMethod::spectrum:
      return 3 * square(d);
    case TimingMethod::eigh:
      return 4 * square(d);  // copy and vectors in one, LAPACK's workspace of two
    case TimingMethod::svd:
      return 3 * rows + 6 * square(d);  // centred rows, LAPACK's copy, U; V, workspace
    case TimingMethod::predict:
    case TimingMethod::predict_cold:
    case TimingMethod::forward:
    case TimingMethod::eigh_bottom:
    case TimingMethod::eigenvalues:
    case TimingMethod::fisher:
      return 0;
  }
  return 0;
}

/// Seconds from asking the backend for `work` until it has done all of it.
template <class Work>
double seconds_on(Backend& backend, Work work) {
  backend.synchronize();
  const Stopwatch watch;
  work();
  backend.synchronize();
  return watch.seconds();
}

RowMoments moments_of(const PlacedProblem& placed, bool covariance) {
  ChannelSpec spec;
  spec.hidden_size = placed.problem->hidden_size();
  spec.shift = at::zeros({spec.hidden_size}, placed.rows.options());
  spec.covariance = covariance;
  if (!covariance) spec.directions = placed.directions;
  const auto channel = placed.backend->make_channel(std::move(spec));
  channel->add(placed.rows);
  return channel->finish();
}

void svd_of_centred_rows(const PlacedProblem& placed) {
  at::linalg_svd(placed.rows - placed.rows.mean(0), /*full_matrices=*/false);
}

double seconds_of_prediction(const TimingProblem& problem) {
  const Stopwatch watch;
  for (int i = 0; i < kPredictions; ++i)
    predict(problem.site.kind, problem.norm.gamma, problem.norm.beta);
  return watch.seconds() / kPredictions;
}

/// A call that gives the seconds of `work` on the problem's backend.
template <class Work>
std::function<double()> timed(const PlacedProblem& placed, Work work) {
  return [placed, work] { return seconds_on(*placed.backend, [&] { work(placed); }); };
}

std::function<double()> work_of(TimingMethod method, const PlacedProblem& placed,
                                TimedForward* forward,
                                const std::vector<std::string>& predict_arguments) {
  switch (method) {
    case TimingMethod::predict:
      return [placed] { return seconds_of_prediction(*placed.problem); };
    case TimingMethod::predict_cold:
      return [predict_arguments] {
        return time_process(program_beside_this("deadray"), predict_arguments, 1).median;
      };
    case TimingMethod::forward:
      return [forward] { return forward->run(); };
    case TimingMethod::directional:
      return timed(placed, [](const PlacedProblem& p) { moments_of(p, /*covariance=*/false); });
    case TimingMethod::moments:
      return timed(placed, [](const PlacedProblem& p) { moments_of(p, /*covariance=*/true); });
    case TimingMethod::certificate:
      return timed(placed,
                   [](const PlacedProblem& p) { certify(p.covariance, p.basis, 100, *p.backend); });
    case TimingMethod::spectrum:
      return timed(placed, [](const PlacedProblem& p) {
        p.backend->bottom_eigh(p.covariance, std::max<std::int64_t>(1, p.basis.size(1)));
      });
    case TimingMethod::eigh:
      return timed(placed, [](const PlacedProblem& p) { p.backend->eigh(p.covariance); });
    case TimingMethod::svd:
      return timed(placed, svd_of_centred_rows);
    case TimingMethod::eigh_bottom:
    case TimingMethod::eigenvalues:
    case TimingMethod::fisher:
      break;
  }
  throw InternalError(fmt::format("{}: only peers have a way to it", to_string(method)));
}

bool runs_on_host_alone(TimingMethod method) {
  return method == TimingMethod::predict || method == TimingMethod::predict_cold;
}

}  // namespace

PlacedProblem place(const TimingProblem& problem, Backend& backend) {
  const at::Device device = backend.device();
  return {&problem,
          &backend,
          problem.rows.to(device),
          problem.covariance.to(device),
          problem.directions.to(device),
          problem.basis().to(device)};
}

double problem_bytes(std::int64_t rows, std::int64_t d) {
  // FP32 input, its FP64 rows while they are made and after; covariance and its sums.
  return static_cast<double>(rows) * static_cast<double>(d) * (4 + 3 * 8) + 2 * square(d);
}

std::vector<Contender> own_contenders(const std::vector<TimingMethod>& methods,
                                      const PlacedProblem& placed, TimedForward* forward,
                                      const std::vector<std::string>& predict_arguments) {
  std::vector<Contender> contenders;
  Backend* const backend = placed.backend;
  const bool is_host = backend == &cpu_backend();
  for (const TimingMethod method : kOwnMethods) {
    if (std::find(methods.begin(), methods.end(), method) == methods.end()) continue;
    const bool of_host = runs_on_host_alone(method);
    if (of_host && !is_host) continue;
    if (method == TimingMethod::forward && forward == nullptr) continue;
    Contender contender;
    contender.method = method;
    contender.device = backend->description();
    contender.threads = of_host ? 1 : at::get_num_threads();
    contender.bytes = bytes_of(method, placed.rows.size(0), placed.problem->hidden_size());
    contender.run = work_of(method, placed, forward, predict_arguments);
    contender.available = [backend] { return static_cast<double>(available_memory(*backend)); };
    contenders.push_back(std::move(contender));
  }
  return contenders;
}

void write_norm_folder(const std::filesystem::path& folder, const TimingProblem& problem) {
  const NormParameters& norm = problem.norm;
  const std::int64_t d = problem.hidden_size();
  write_file_atomically(folder / "config.json",
                        nlohmann::json{{"model_type", "one-norm"}, {"hidden_size", d}}.dump());
  std::vector<TensorDeclaration> tensors = {{"norm.weight", DType::f64, {d}}};
  if (!norm.beta.empty()) tensors.push_back({"norm.bias", DType::f64, {d}});
  SafetensorsWriter writer(folder / "model.safetensors", tensors);
  writer.append(std::as_bytes(std::span(norm.gamma)));
  writer.append(std::as_bytes(std::span(norm.beta)));
  writer.finish();
}

}  // namespace deadray
