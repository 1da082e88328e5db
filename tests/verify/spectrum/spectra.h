#pragma once

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "host/prediction/predictor.h"

/// Inputs with known answers for the tests of the numerical core.
namespace deadray::testing {

inline constexpr double kEps = 0x1p-52;

inline at::TensorOptions fp64() { return at::TensorOptions().dtype(at::kDouble); }

inline at::Tensor gaussian(std::int64_t rows, std::int64_t columns, std::uint64_t seed) {
  return at::randn({rows, columns}, at::make_generator<at::CPUGeneratorImpl>(seed), fp64());
}

inline at::Tensor tensor_of(const std::vector<double>& values) {
  return at::from_blob(const_cast<double*>(values.data()),
                       {static_cast<std::int64_t>(values.size())}, fp64())
      .clone();
}

inline std::vector<double> vector_of(const at::Tensor& values) {
  const at::Tensor flat = values.contiguous();
  return {flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel()};
}

/// Haar-like orthogonal matrix [d, d].
inline at::Tensor orthogonal(std::int64_t d, std::uint64_t seed) {
  return std::get<0>(at::linalg_qr(gaussian(d, d, seed)));
}

/// Exactly symmetric Q diag(values) Q^T.
inline at::Tensor with_spectrum(const at::Tensor& q, const at::Tensor& values) {
  const at::Tensor c = (q * values.unsqueeze(0)).mm(q.t());
  return (c + c.t()) / 2;
}

struct Spectrum {
  std::string name;
  at::Tensor values;      ///< [d] ascending
  std::int64_t null = 0;  ///< how many of them are null directions
};

/// Weyl: a symmetric perturbation moves no eigenvalue by more than its norm; forming Q diag Q^T and
/// the driver each leave some d u lambda_d.
inline double tolerance(const Spectrum& s) {
  const std::int64_t d = s.values.size(0);
  return 4 * static_cast<double>(d) * kEps * s.values[d - 1].item<double>();
}

/// Ascending spectra whose bottom is hard in its own way.
inline std::vector<Spectrum> hard_spectra(std::int64_t d) {
  const auto ramp = [&](double first, double last) {
    return d > 1 ? at::linspace(first, last, d, fp64()) : at::full({1}, last, fp64());
  };
  const auto nulled = [](at::Tensor values, std::int64_t count) {
    values.narrow(0, 0, count).zero_();
    return values;
  };
  std::vector<Spectrum> spectra = {{"identity", at::ones({d}, fp64()), 0},
                                   {"ramp", ramp(0.1, 1.0), 0},
                                   {"one_zero", nulled(ramp(0.1, 1.0), 1), 1},
                                   {"steep", at::pow(10.0, ramp(-8.0, 0.0)), 0},
                                   {"steep_one_zero", nulled(at::pow(10.0, ramp(-8.0, 0.0)), 1), 1},
                                   {"steep_to_rounding", at::pow(10.0, ramp(-15.0, 0.0)), 0}};
  if (d >= 7) {
    at::Tensor cluster = ramp(0.5, 1.0);
    cluster.narrow(0, 1, 4).copy_(1e-4 * (1 + 1e-9 * at::arange(4, fp64())));
    spectra.push_back({"cluster_above_zero", nulled(cluster, 1), 1});
    spectra.push_back({"three_zeros", nulled(ramp(0.1, 1.0), 3), 3});
    at::Tensor outlier = ramp(0.5, 1.0);
    outlier[d - 1].fill_(1e6);
    spectra.push_back({"outlier_channel", nulled(outlier, 1), 1});
  }
  if (d > 100) return spectra;  // scaling is exact at any size: the small ones show it
  const auto count = spectra.size();
  for (std::size_t i = 0; i < count; ++i)
    for (const double scale : {1e-30, 1e30})
      spectra.push_back({spectra[i].name + (scale < 1 ? "_tiny" : "_huge"),
                         spectra[i].values * scale, spectra[i].null});
  return spectra;
}

/// The prediction {v} for a given unit vector, as predict() would fill it for a LayerNorm.
inline DeadSubspace predicting(const at::Tensor& v) {
  DeadSubspace subspace;
  subspace.dimension = 1;
  const std::vector<double> direction = vector_of(v / v.norm());
  subspace.inverse.assign(direction.begin(), direction.end());
  subspace.inverse_norm = 1.0;
  return subspace;
}

inline DeadSubspace predicting_coordinates(std::vector<std::int64_t> coordinates,
                                           const std::vector<double>& direction = {}) {
  DeadSubspace subspace;
  subspace.dimension = static_cast<std::int64_t>(coordinates.size());
  subspace.coordinates = std::move(coordinates);
  subspace.inverse.assign(direction.begin(), direction.end());
  subspace.inverse_norm = 1.0;
  return subspace;
}

/// LayerNorm without affine of rows [n, d], any eps.
inline at::Tensor normalised(const at::Tensor& x, double eps = 1e-5) {
  const at::Tensor centred = x - x.mean(1, true);
  return centred / (centred.square().mean(1, true) + eps).sqrt();
}

}  // namespace deadray::testing
