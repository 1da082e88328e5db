#include "verify/comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <limits>

#include "host/statistics.h"
#include "verify/spectrum.h"

namespace deadray {
namespace {

constexpr double kRoundoff64 = 0x1p-53;
constexpr std::array kDepths = {1e-4, 1e-6, 1e-8, 1e-10};  // of tr C/d

at::TensorOptions fp64() { return at::TensorOptions().dtype(at::kDouble); }

at::Tensor to_tensor(const std::vector<double>& values) {
  const at::Tensor result = at::empty({static_cast<std::int64_t>(values.size())}, fp64());
  std::copy(values.begin(), values.end(), result.data_ptr<double>());
  return result;
}

std::vector<double> to_vector(const at::Tensor& values) {
  const at::Tensor flat = values.contiguous();
  return {flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel()};
}

/// What an eigenvalue must exceed to be told from zero, per unit of the largest: d u; activations rounded at u > 2^-53 leave d u^2 at
/// least.
double relative_floor(std::int64_t d, double roundoff) { return static_cast<double>(d) * std::max(kRoundoff64, roundoff * roundoff); }

bool is_finite(const at::Tensor& values) { return !values.defined() || at::isfinite(values).all().item<bool>(); }

double gap_above(double next, double bottom, double floor) {
  const double scale = std::max(bottom, floor);
  return scale > 0 ? next / scale : 0.0;
}

/// |C P|/|C|, or |C v*|/|C| where nothing is predicted.
double residual_of(const at::Tensor& c, const at::Tensor& basis, const at::Tensor& direction, double largest) {
  const at::Tensor columns = basis.size(1) > 0 ? basis : direction;
  if (!columns.defined() || !(largest > 0)) return 0.0;
  return at::linalg_matrix_norm(c.mm(columns), 2).item<double>() / largest;
}

void read_eigh(const at::Tensor& c, const at::Tensor& basis, const at::Tensor& direction, Reading& reading) {
  const Eigendecomposition e = eigh(c);
  const auto values = to_vector(e.values);
  const std::size_t d = values.size(), k = static_cast<std::size_t>(basis.size(1));
  const double mean = c.diagonal().mean().item<double>();
  reading.driver = e.driver;
  reading.eigenvalues = {values[0], d > 1 ? values[1] : 0.0, k < d ? values[k] : 0.0, mean, values[d - 1]};
  const auto count_below = [&](double bound) { return std::count_if(values.begin(), values.end(), [&](double v) { return v < bound; }); };
  reading.dimension = count_below(reading.floor *= values[d - 1]);
  for (const double depth : kDepths) reading.below.push_back(count_below(depth * mean));
  reading.gap = gap_above(reading.eigenvalues.next, k > 0 ? values[k - 1] : 0.0, reading.floor);
  reading.residual = residual_of(c, basis, direction, values[d - 1]);
  if (k > 0) reading.principal_cosines = to_vector(at::linalg_svdvals(basis.t().mm(e.vectors.narrow(1, 0, basis.size(1)))).clamp_max(1.0));
  if (direction.defined()) reading.abs_cos = std::min(1.0, std::abs(direction.squeeze(1).dot(e.vectors.select(1, 0)).item<double>()));
}

void read_certificate(const at::Tensor& c, const at::Tensor& basis, const at::Tensor& direction, Reading& reading) {
  const Certificate proof = certify(c, basis);
  const auto k = basis.size(1);
  reading.driver = fmt::format("Cholesky and {} Lanczos steps", proof.steps);
  reading.floor *= proof.largest;
  reading.eigenvalues = {k > 0 ? reading.lambda_v : proof.next, k == 1 ? proof.next : 0.0, proof.next, c.diagonal().mean().item<double>(),
                         proof.largest};
  const bool has_next = k < c.size(0);
  reading.dimension = (proof.basis_variance < reading.floor ? k : 0) + (has_next && proof.next < reading.floor ? 1 : 0);
  reading.gap = gap_above(proof.next, proof.basis_variance, reading.floor);
  reading.residual = k > 0 ? proof.basis_residual : residual_of(c, basis, direction, proof.largest);
  const double cosine = std::sqrt(1 - proof.sine_bound * proof.sine_bound);
  reading.principal_cosines.assign(static_cast<std::size_t>(k), cosine);
  if (k == 1 && direction.defined()) {  // the angle to v* is at most the angle to P plus that between P and v*
    const double offset = std::min(1.0, std::abs(basis.squeeze(1).dot(direction.squeeze(1)).item<double>()));
    reading.abs_cos = std::max(0.0, cosine * offset - proof.sine_bound * std::sqrt(1 - offset * offset));
  }
}

void read_directional(const Measured& measured, Reading& reading) {
  reading.driver = "projection";
  if (!measured.random_variances.defined() || measured.random_variances.numel() == 0) return;
  reading.random_variance = measured.random_variances.median().item<double>();
  reading.floor *= *reading.random_variance;  // lambda_d is at least the variance along any direction
}

/// NaN in every figure of the spectrum: the measurement was not finite, and LAPACK is not asked.
void read_not_finite(Reading& reading) {
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  reading.eigenvalues = {kNaN, kNaN, kNaN, kNaN, kNaN};
  reading.floor = reading.gap = reading.residual = kNaN;
  reading.driver = "none";
}

}  // namespace

std::string_view to_string(Verdict verdict) noexcept {
  switch (verdict) {
    case Verdict::confirmed:
      return "confirmed";
    case Verdict::absent:
      return "absent";
    case Verdict::refuted:
      return "refuted";
    case Verdict::undetermined:
      return "undetermined";
  }
  return "?";
}

std::string_view to_string(Method method) noexcept {
  switch (method) {
    case Method::eigh:
      return "eigh";
    case Method::certificate:
      return "certificate";
    case Method::directional:
      return "directional";
  }
  return "?";
}

at::Tensor basis_of(const DeadSubspace& subspace, std::int64_t hidden_size) {
  const auto& coordinates = subspace.coordinates;
  if (coordinates.empty() && subspace.dimension == 1) return to_tensor(subspace.direction()).unsqueeze(1);
  const at::Tensor basis = at::zeros({hidden_size, static_cast<std::int64_t>(coordinates.size())}, fp64());
  for (std::size_t j = 0; j < coordinates.size(); ++j) basis[coordinates[j]][static_cast<std::int64_t>(j)] = 1.0;
  return basis;
}

Reading read(Method method, const DeadSubspace& predicted, const Measured& measured) {
  const auto start = std::chrono::steady_clock::now();
  const at::Tensor& c = measured.covariance;
  // Without covariance and v* (some gamma_i = 0) the width is not known here: 1 gives the strictest floor.
  const auto d = c.defined() ? c.size(0) : std::max<std::int64_t>(1, static_cast<std::int64_t>(predicted.inverse.size()));
  const at::Tensor basis = c.defined() ? basis_of(predicted, d) : at::Tensor{};
  const at::Tensor direction = predicted.inverse.empty() ? at::Tensor{} : to_tensor(predicted.direction()).unsqueeze(1);

  Reading reading;
  reading.tokens = measured.tokens;
  reading.floor = relative_floor(d, measured.roundoff);
  if (measured.basis_variance.defined() && measured.basis_variance.numel() > 0) {
    reading.lambda_v = measured.basis_variance.max().item<double>();
  } else if (c.defined() && basis.size(1) > 0) {
    reading.lambda_v = (c.mm(basis) * basis).sum(0).max().item<double>();
  }
  if (!is_finite(c) || !is_finite(measured.basis_variance) || !is_finite(measured.random_variances)) {
    read_not_finite(reading);
  } else if (method == Method::directional) {
    read_directional(measured, reading);
  } else if (method == Method::certificate) {
    read_certificate(c, basis, direction, reading);
  } else {
    read_eigh(c, basis, direction, reading);
  }
  if (reading.abs_cos) reading.chance_p = chance_p_value(*reading.abs_cos, d);
  reading.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return reading;
}

}  // namespace deadray
