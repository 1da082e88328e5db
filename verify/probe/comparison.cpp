#include "verify/probe/comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "host/base/statistics.h"
#include "verify/base/tensors.h"
#include "verify/numerics/eigh.h"
#include "verify/spectrum/certificate.h"
#include "verify/spectrum/graded.h"

namespace deadray {
namespace {

constexpr std::array kDepths = {1e-4, 1e-6, 1e-8, 1e-10};  // of tr C/d

std::vector<double> to_vector(const at::Tensor& values) {
  const at::Tensor flat = values.cpu().contiguous();
  return {flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel()};
}

bool is_finite(const at::Tensor& values) {
  return !values.defined() || at::isfinite(values).all().item<bool>();
}

double gap_above(double next, double bottom, double floor) {
  const double scale = std::max(bottom, floor);
  return scale > 0 ? next / scale : 0.0;
}

/// |C P|/|C|, or |C v*|/|C| where nothing is predicted.
double residual_of(const at::Tensor& c, const at::Tensor& basis, const at::Tensor& direction,
                   double largest) {
  const at::Tensor columns = basis.size(1) > 0 ? basis : direction;
  if (!columns.defined() || !(largest > 0)) return 0.0;
  return at::linalg_matrix_norm(c.mm(columns).cpu(), 2).item<double>() / largest;
}

void read_eigh(const Measured& measured, const at::Tensor& basis, const at::Tensor& direction,
               Backend& backend, Reading& reading) {
  const at::Tensor& c = measured.covariance;
  const Eigendecomposition e = backend.bottom_eigh(c, std::max<std::int64_t>(1, basis.size(1)));
  const auto values = to_vector(e.values);
  const std::size_t d = values.size(), k = static_cast<std::size_t>(basis.size(1));
  const double mean = c.diagonal().mean().item<double>(), largest = values[d - 1];
  const double floor = rounding_floor(measured.hidden_size, largest, measured.roundoff);
  const auto count_below = [&](double bound) {
    return std::count_if(values.begin(), values.end(), [&](double v) { return v < bound; });
  };
  reading.driver = e.driver;
  reading.floor = floor;
  reading.eigenvalues = {values[0], d > 1 ? values[1] : 0.0, k < d ? values[k] : 0.0, mean,
                         largest};
  reading.dimension = count_below(floor);
  for (const double depth : kDepths) reading.below.push_back(count_below(depth * mean));
  reading.gap = gap_above(reading.eigenvalues.next, k > 0 ? values[k - 1] : 0.0, floor);
  reading.residual = residual_of(c, basis, direction, largest);
  for (const std::int64_t index : spectrum_indices(measured.hidden_size))
    reading.spectrum.push_back(values[static_cast<std::size_t>(index)]);
  if (k > 0)
    reading.principal_cosines =
        to_vector(at::linalg_svdvals(basis.t().mm(e.vectors.narrow(1, 0, basis.size(1))).cpu())
                      .clamp_max(1.0));
  if (direction.defined())
    reading.abs_cos =
        std::min(1.0, std::abs(direction.squeeze(1).dot(e.vectors.select(1, 0)).item<double>()));
}

void read_certificate(const Measured& measured, const at::Tensor& basis,
                      const at::Tensor& direction, Backend& backend, Reading& reading) {
  const at::Tensor& c = measured.covariance;
  const Certificate proof = certify(c, basis, 100, backend);
  const auto k = basis.size(1);
  const double mean = c.diagonal().mean().item<double>(),
               floor = rounding_floor(measured.hidden_size, proof.largest, measured.roundoff);
  reading.driver = fmt::format("Cholesky and {} Lanczos steps", proof.steps);
  reading.floor = floor;
  const double dead =
      k > reading.inherited ? reading.lambda_v : std::max(0.0, proof.basis_variance);
  reading.eigenvalues = {k > 0 ? dead : proof.next, k == 1 ? proof.next : 0.0, proof.next, mean,
                         proof.largest};
  const bool has_next = k < c.size(0);
  reading.dimension =
      (proof.basis_variance < floor ? k : 0) + (has_next && proof.next < floor ? 1 : 0);
  reading.gap = gap_above(proof.next, proof.basis_variance, floor);
  reading.residual = k > 0 ? proof.basis_residual : residual_of(c, basis, direction, proof.largest);
  if (proof.sine_bound >= 1) return;  // says nothing of the angle
  const double cosine = std::sqrt(1 - proof.sine_bound * proof.sine_bound);
  reading.principal_cosines.assign(static_cast<std::size_t>(k), cosine);
  // The angle to v* is at most the angle to P plus that between P and v*.
  if (k == 1 && direction.defined()) {
    const double offset =
        std::min(1.0, std::abs(basis.squeeze(1).dot(direction.squeeze(1)).item<double>()));
    reading.abs_cos =
        std::max(0.0, cosine * offset - proof.sine_bound * std::sqrt(1 - offset * offset));
  }
}

void read_directional(const Measured& measured, Reading& reading) {
  reading.driver = "projection";
  if (!measured.random_variances.defined() || measured.random_variances.numel() == 0) return;
  const double random = median(to_vector(measured.random_variances));
  reading.random_variance = random;
  reading.floor = rounding_floor(measured.hidden_size, random, measured.roundoff);
}

void read_by(Method method, const Measured& measured, const at::Tensor& basis,
             const at::Tensor& direction, Backend& backend, Reading& reading) {
  switch (method) {
    case Method::eigh:
      return read_eigh(measured, basis, direction, backend, reading);
    case Method::certificate:
      return read_certificate(measured, basis, direction, backend, reading);
    case Method::directional:
      return read_directional(measured, reading);
  }
}

/// The directions that are to explain what is null.
at::Tensor explaining(const DeadSubspace& predicted, const Measured& measured, Backend& backend) {
  return measured.explained.defined()
             ? measured.explained
             : basis_of(predicted, measured.hidden_size).to(backend.device());
}

/// The largest variance along the columns of a basis.
double largest_variance(const at::Tensor& c, const at::Tensor& basis) {
  return basis.size(1) > 0 ? (c.mm(basis) * basis).sum(0).max().item<double>() : 0.0;
}

/// NaN in every figure of the spectrum: LAPACK is not asked about what is not finite.
void read_not_finite(Reading& reading) {
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  reading.eigenvalues = {kNaN, kNaN, kNaN, kNaN, kNaN};
  reading.floor = reading.gap = reading.residual = kNaN;
  reading.driver = "none";
}

}  // namespace

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
  if (coordinates.empty() && subspace.dimension == 1)
    return to_tensor(subspace.direction()).unsqueeze(1);
  const at::Tensor basis =
      at::zeros({hidden_size, static_cast<std::int64_t>(coordinates.size())}, fp64());
  for (std::size_t j = 0; j < coordinates.size(); ++j)
    basis[coordinates[j]][static_cast<std::int64_t>(j)] = 1.0;
  return basis;
}

std::vector<std::int64_t> spectrum_indices(std::int64_t hidden_size) {
  constexpr std::int64_t kLowest = 32;
  constexpr int kSteps = 24;
  std::vector<std::int64_t> indices;
  for (std::int64_t i = 0; i < std::min(kLowest, hidden_size); ++i) indices.push_back(i);
  const double ratio = static_cast<double>(hidden_size) / kLowest;
  for (int step = 1; step <= kSteps && hidden_size > kLowest; ++step) {
    const auto index =
        std::llround(kLowest * std::pow(ratio, static_cast<double>(step) / kSteps)) - 1;
    if (index > indices.back()) indices.push_back(index);
  }
  return indices;
}

Reading read(Method method, const DeadSubspace& predicted, const Measured& measured,
             Backend& backend) {
  const at::Tensor& c = measured.covariance;
  const at::Tensor basis = explaining(predicted, measured, backend);
  const at::Tensor direction =
      predicted.inverse.empty()
          ? at::Tensor{}
          : to_tensor(predicted.direction()).unsqueeze(1).to(backend.device());

  Reading reading;
  reading.tokens = measured.tokens;
  reading.hidden_size = measured.hidden_size;
  reading.inherited = basis.size(1) - predicted.dimension;
  if (measured.basis_variance.defined() && measured.basis_variance.numel() > 0) {
    reading.lambda_v = measured.basis_variance.max().item<double>();
  } else if (c.defined()) {
    reading.lambda_v = largest_variance(c, basis.narrow(1, 0, predicted.dimension));
  }
  const bool finite =
      is_finite(c) && is_finite(measured.basis_variance) && is_finite(measured.random_variances);
  if (finite)
    read_by(method, measured, basis, direction, backend, reading);
  else
    read_not_finite(reading);
  if (reading.abs_cos) reading.chance_p = chance_p_value(*reading.abs_cos, measured.hidden_size);
  return reading;
}

void add_scaled_reading(Method method, const DeadSubspace& predicted, const Measured& measured,
                        Reading& reading, Backend& backend) {
  const Graded graded = to_unit_variances(measured.covariance);
  const auto basis = basis_of_unit_variances(graded, explaining(predicted, measured, backend));
  if (!basis || graded.live.size(0) == 0) return;
  Measured scaled;
  scaled.tokens = measured.tokens;
  scaled.hidden_size = graded.live.size(0);
  scaled.covariance = graded.matrix;
  Reading inner;
  inner.lambda_v = largest_variance(graded.matrix, *basis);
  read_by(method, scaled, *basis, {}, backend, inner);

  ScaledReading& result = reading.scaled.emplace();
  result.dimension = graded.n_zero + inner.dimension;
  if (static_cast<std::int64_t>(inner.principal_cosines.size()) == basis->size(1)) {
    result.principal_cosines.assign(static_cast<std::size_t>(graded.n_zero), 1.0);
    result.principal_cosines.insert(result.principal_cosines.end(), inner.principal_cosines.begin(),
                                    inner.principal_cosines.end());
  }
  result.next = inner.eigenvalues.next;
  result.floor = inner.floor;
  // A coordinate that hardly varies is scaled up, and its rounding with it: by Weyl's theorem no
  // eigenvalue moves by more than the sum.
  if (measured.row_rounding.defined())
    result.floor = std::max(result.floor, (measured.row_rounding.index_select(0, graded.live) /
                                           graded.deviation.square())
                                              .sum()
                                              .item<double>());
  result.gap = std::min(inner.gap, gap_above(result.next, inner.lambda_v, result.floor));
}

}  // namespace deadray
