#pragma once

#include <ATen/ATen.h>

#include <cstdint>

namespace deadray {

/// FP64 first and second moments of rows that arrive tile by tile. Each tile is centred about its
/// own mean (Chan, Golub, LeVeque), so nothing cancels: constant rows give exactly zero covariance.
/// The shift keeps the running mean small. Before any row, mean and covariance are zero.
class CentredMoments {
 public:
  /// @param shift  [d] FP64, near the mean (beta is the exact one for a LayerNorm); undefined: the
  /// first tile's mean is taken
  explicit CentredMoments(std::int64_t hidden_size, at::Tensor shift = {});

  void add(const at::Tensor& rows);  ///< [n, d], any float dtype, any device; n may be 0
  /// As if the other's rows had been added here, up to rounding. Its shift may differ.
  void merge(const CentredMoments& other);

  std::int64_t count() const noexcept { return count_; }
  at::Tensor mean() const;        ///< [d]
  at::Tensor covariance() const;  ///< [d, d], divisor N, symmetric; C = E[(h - mean)(h - mean)^T]
  at::Tensor second_moment() const;  ///< [d, d], uncentred E[h h^T]
  /// covariance() in the memory of the sums, which are gone: nothing else is to be called after it
  /// but count() and mean().
  at::Tensor take_covariance();

 private:
  void include(std::int64_t n, const at::Tensor& mean);

  std::int64_t hidden_size_, count_ = 0;
  at::Tensor shift_;
  at::Tensor mean_;     // of rows - shift
  at::Tensor squares_;  // upper triangle of sum (h - mean)(h - mean)^T
};

/// Copies the upper triangle of a square matrix below its diagonal, in place.
void mirror_upper(const at::Tensor& matrix);

/// Mean and variance of <v_k, h> for K directions. Rows are projected first, which resolves far
/// smaller variances than v^T C v of a formed C can (1e-27 against 3e-19 was seen). O(N d K), no
/// covariance.
class DirectionalMoments {
 public:
  /// @param directions [K, d] FP64 unit rows   @param shift [d] or undefined, as above
  explicit DirectionalMoments(at::Tensor directions, at::Tensor shift = {});
  void add(const at::Tensor& rows);  ///< [n, d]
  std::int64_t count() const noexcept { return count_; }
  at::Tensor mean() const;      ///< [K], of <v_k, h - shift>
  at::Tensor variance() const;  ///< [K], divisor N

 private:
  at::Tensor directions_, shift_;
  bool shift_is_zero_ = false;
  at::Tensor mean_, squares_;  // running mean, sum of squared deviations (Chan's update per tile)
  std::int64_t count_ = 0;
};

}  // namespace deadray
