#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "tests/gpu/device.h"
#include "tests/kernels/operations/norm_reference.h"

namespace deadray::testing {

constexpr double kRoundoff = 0x1p-53;

/// Column-major [n, n].
struct Matrix {
  std::int64_t n;
  std::vector<double> values;
  explicit Matrix(std::int64_t size) : n(size), values(static_cast<std::size_t>(size * size)) {}
  Matrix(std::int64_t size, std::vector<double> elements) : n(size), values(std::move(elements)) {}
  double& operator()(std::int64_t i, std::int64_t j) {
    return values[static_cast<std::size_t>(i + j * n)];
  }
  double operator()(std::int64_t i, std::int64_t j) const {
    return values[static_cast<std::size_t>(i + j * n)];
  }
};

inline double norm(const std::vector<double>& x) {
  long double sum = 0;
  for (const double value : x) sum += static_cast<long double>(value) * value;
  return static_cast<double>(std::sqrt(sum));
}

inline std::vector<double> unit_vector(std::uint64_t stream, std::int64_t n) {
  const std::vector<float> drawn = kernels::normals(stream, n);
  std::vector<double> x(drawn.begin(), drawn.end());
  const double length = norm(x);
  for (double& value : x) value /= length;
  return x;
}

/// Symmetric, with these eigenvalues up to about 20 u of the largest: three reflections of the
/// diagonal matrix.
inline Matrix with_spectrum(const std::vector<double>& eigenvalues) {
  Matrix a(static_cast<std::int64_t>(eigenvalues.size()));
  for (std::int64_t i = 0; i < a.n; ++i) a(i, i) = eigenvalues[static_cast<std::size_t>(i)];
  for (std::uint64_t reflection = 1; reflection <= 3; ++reflection) {
    const std::vector<double> u = unit_vector(reflection, a.n);
    std::vector<double> image(u.size());
    double product = 0.0;
    for (std::int64_t j = 0; j < a.n; ++j) {
      for (std::int64_t i = 0; i < a.n; ++i)
        image[static_cast<std::size_t>(i)] += a(i, j) * u[static_cast<std::size_t>(j)];
    }
    for (std::size_t i = 0; i < u.size(); ++i) product += u[i] * image[i];
    for (std::size_t i = 0; i < u.size(); ++i) image[i] -= product * u[i];
    for (std::int64_t j = 0; j < a.n; ++j) {
      for (std::int64_t i = 0; i < a.n; ++i) {
        const auto row = static_cast<std::size_t>(i), column = static_cast<std::size_t>(j);
        // The same bits in both triangles.
        a(i, j) -= 2 * (u[row] * image[column] + image[row] * u[column]);
      }
    }
  }
  return a;
}

/// From `first` to `last` in equal ratios.
inline std::vector<double> geometric(std::int64_t n, double first, double last) {
  std::vector<double> values(static_cast<std::size_t>(n), last);
  for (std::size_t i = 0; i + 1 < values.size(); ++i)
    values[i] = first * std::pow(last / first, static_cast<double>(i) / static_cast<double>(n - 1));
  return values;
}

struct Spectrum {
  std::string name;
  std::vector<double> eigenvalues;  // ascending
};

/// What covariances look like, and what solvers stumble over.
inline std::vector<Spectrum> spectra(std::int64_t n) {
  const auto size = static_cast<std::size_t>(n);
  std::vector<Spectrum> all{
      {"one zero", geometric(n, 0.1, 3.0)},         {"cluster", std::vector<double>(size, 1.0)},
      {"steep decay", geometric(n, 1e-18, 1.0)},    {"both signs", geometric(n, 0.5, 2.0)},
      {"rank one", std::vector<double>(size, 0.0)}, {"zero", std::vector<double>(size, 0.0)}};
  all[0].eigenvalues.front() = 0.0;
  for (std::size_t i = 0; i < size; ++i)
    all[1].eigenvalues[i] += 1e-14 * static_cast<double>(i) + (i > size / 2 ? 1.0 : 0.0);
  for (std::size_t i = 0; i < size / 2; ++i) all[3].eigenvalues[i] *= -1;
  std::sort(all[3].eigenvalues.begin(), all[3].eigenvalues.end());
  all[4].eigenvalues.back() = 5.0;
  return all;
}

/// Of covariances that verify meets: equal rows, two rows, a dead direction.
inline std::vector<Spectrum> singular_spectra(std::int64_t n) {
  const auto size = static_cast<std::size_t>(n);
  std::vector<Spectrum> all{{"all zero", std::vector<double>(size, 0.0)},
                            {"rank one", std::vector<double>(size, 0.0)},
                            {"rank n - 1", geometric(n, 0.1, 3.0)}};
  all[1].eigenvalues.back() = 5.0;
  all[2].eigenvalues.front() = 0.0;
  return all;
}

inline std::vector<std::int64_t> sizes() {
  if (small_shapes()) return {1, 7, 64, 257};
  return {1, 7, 64, 257, 768, 4096};
}

/// All indices below n, or 64 of them.
inline std::vector<std::int64_t> sample(std::int64_t n) {
  std::vector<std::int64_t> indices;
  for (std::int64_t i = 0; i < n; i += n > 300 ? n / 64 : 1) indices.push_back(i);
  if (indices.back() != n - 1) indices.push_back(n - 1);
  return indices;
}

}  // namespace deadray::testing
