#include "verify/timing/timing_problem.h"

#include <fmt/format.h>

#include <algorithm>

#include "host/architecture/catalogue.h"
#include "host/architecture/norm_parameters.h"
#include "host/architecture/select_sites.h"
#include "host/base/error.h"
#include "host/base/stopwatch.h"
#include "kernels/operations/random_normal.h"
#include "verify/base/tensors.h"
#include "verify/calibration/default_calibration.h"
#include "verify/device/memory.h"
#include "verify/forward/executor.h"
#include "verify/numerics/moments.h"
#include "verify/numerics/norm_rows.h"
#include "verify/plan/plan_advice.h"
#include "verify/plan/planned_measurement.h"
#include "verify/probe/comparison.h"

namespace deadray {
namespace {

at::Tensor normals(std::string_view stream, at::IntArrayRef shape) {
  at::Tensor out = at::empty(shape, at::kFloat);
  cpu_backend().random_normal(/*seed=*/0, kernels::stream_of(stream), 0, 1.0F, out);
  return out;
}

std::vector<double> to_vector(const at::Tensor& values) {
  const at::Tensor dense = values.to(at::kDouble).contiguous();
  return {dense.const_data_ptr<double>(), dense.const_data_ptr<double>() + dense.numel()};
}

/// @param input [n, d], what the norm reads
TimingProblem problem_of(NormSite site, NormParameters norm, const at::Tensor& input) {
  TimingProblem problem;
  problem.predicted = predict(site.kind, norm.gamma, norm.beta, {}, gamma_name(site));
  problem.rows = recompute_norm(site, norm, input);
  CentredMoments moments(site.hidden_size, at::zeros({site.hidden_size}, fp64()));
  moments.add(problem.rows);
  problem.covariance = moments.covariance();
  problem.site = std::move(site);
  problem.norm = std::move(norm);
  problem.directions = problem.predicted.dimension > 0
                           ? problem.basis().t().contiguous()
                           : to_tensor(problem.predicted.direction()).unsqueeze(0);
  return problem;
}

/// Keeps what the final norm reads.
class FinalInput final : public Observer {
 public:
  explicit FinalInput(std::string site) : site_(std::move(site)) {}
  bool wants(const std::string& site) override { return site == site_; }
  void norm(const std::string&, const at::Tensor& input, const at::Tensor&) override {
    tiles_.push_back(input.to(at::kCPU, at::kFloat, false, true));
  }
  at::Tensor rows() const { return at::cat(tiles_); }

 private:
  std::string site_;
  std::vector<at::Tensor> tiles_;
};

}  // namespace

at::Tensor TimingProblem::basis() const { return basis_of(predicted, site.hidden_size); }

std::int64_t synthetic_rows(std::int64_t hidden_size) { return hidden_size + hidden_size / 4; }

TimingProblem synthetic_problem(std::int64_t d) {
  NormSite site;
  site.name = "norm";
  site.hidden_size = d;
  site.eps = 1e-5;
  NormParameters norm;
  norm.gamma = to_vector(normals("gamma", {d}) * 0.2 + 1.0);
  norm.beta = to_vector(normals("beta", {d}) * 0.1);
  return problem_of(std::move(site), std::move(norm), normals("rows", {synthetic_rows(d), d}));
}

TimedForward::TimedForward(const std::filesystem::path& path, bool random, Backend& backend)
    : backend_(backend) {
  ModelOptions options;
  options.random = random;
  options.backend = &backend;
  model_ = prepare_model(path, options);
  calibration_ = make_calibration(model_->architecture, model_->name, {});
  MeasurementOptions measuring;
  const Plan plan = plan_measurement(*model_, calibration_, measuring);
  require_memory(plan, *model_, calibration_, measuring, available_memory(backend));
}

double TimedForward::run() {
  Observer nobody;
  return run(nobody);
}

double TimedForward::run(Observer& observer) {
  backend_.synchronize();
  const Stopwatch watch;
  Executor executor(model_->architecture, *model_->weights, {});
  executor.run(calibration_, observer);
  backend_.synchronize();
  return watch.seconds() - executor.load_seconds();
}

TimingProblem TimedForward::problem() {
  const NormSite site = select_sites(model_->sites, "final").front();
  FinalInput input(site.name);
  run(input);
  TimingProblem problem = problem_of(site, norm_parameters(model_->stored(), site), input.rows());
  problem.model = model_->name;
  return problem;
}

}  // namespace deadray
