#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

namespace deadray {

/// A covariance C on the coordinates that vary, scaled to unit variances: H = S C S with
/// S = diag(C_ii)^-1/2. A coordinate whose variance is exactly 0 is null exactly and is left out.
///
/// Few huge variances raise the rounding floor d u lambda_d of C until true eigenvalues drown in
/// it. Yet the entries of C are sums of products, each off by some u sqrt(C_ii C_jj), however small
/// that is. So H is off by some d u, and has its own floor d u lambda_d(H), lambda_d(H) <= d. Where
/// the least eigenvalue of H is clear of that floor, every eigenvalue of C, the smallest too, is
/// known to floor / lambda_1(H), relative (Demmel and Veselic, SIAM J. Matrix Anal. Appl. 13, 1992,
/// theorem 2.3). No diagonal scaling has a condition more than d times better (van der Sluis,
/// Numer. Math. 14, 1969).
///
/// That is so of coordinates that vary by more than their rounding: see Measured::row_rounding.
///
/// C w = 0 holds just where H (S^-1 w) = 0. So H has as many null directions as C has beside the
/// coordinates left out, and null spaces are compared in its metric: there rounding is the same in
/// every direction. Mapped back by S, it would be the largest in the coordinates that vary least.
struct Graded {
  at::Tensor matrix;        ///< H [m, m] FP64, unit diagonal
  at::Tensor live;          ///< [m] the coordinates that vary, ascending
  at::Tensor deviation;     ///< [m] the diagonal of S^-1
  std::int64_t n_zero = 0;  ///< d - m
};

/// @param c  [d, d] FP64, symmetric, finite
Graded to_unit_variances(const at::Tensor& c);

/// S^-1 span(basis) beside the coordinates left out: [m, k - n_zero], orthonormal columns. Empty
/// where one of those coordinates lies outside span(basis): H does not see it, so H cannot judge.
/// @param basis  [d, k] orthonormal columns, on the device of `graded`
std::optional<at::Tensor> basis_of_unit_variances(const Graded& graded, const at::Tensor& basis);

/// The way back: S y for every column y of `columns` [m, k], 0 in the coordinates left out, and the
/// unit vectors of those: [d, k + n_zero], not orthonormal.
at::Tensor columns_of_covariance(const Graded& graded, const at::Tensor& columns);

/// Orthonormal columns that span the columns of a matrix of full column rank; by the host's LAPACK.
at::Tensor orthonormal(const at::Tensor& columns);

}  // namespace deadray
