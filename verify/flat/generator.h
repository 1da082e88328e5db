#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <mutex>

namespace deadray::flat {

/// B of a group of one parameter, exp(tB). FP64 on the CPU.
class Generator {
 public:
  /// @param b  [n, n], or [n]: a diagonal
  explicit Generator(at::Tensor b) : b_(std::move(b)) {}

  bool is_diagonal() const { return b_.dim() == 1; }
  /// Shape of B.
  const at::Tensor& matrix() const { return b_; }
  /// exp(tB), shape of B. The last one is kept: all tensors of a move ask for the same.
  /// Thread-safe.
  at::Tensor exponential(double t) const;

 private:
  at::Tensor b_;
  mutable std::mutex mutex_;
  mutable double t_ = 0;
  mutable at::Tensor kept_;
};

/// What stands beside a matrix: diag(scale) exp(tB) diag(1/scale).
struct Factor {
  std::shared_ptr<const Generator> generator;  ///< null: 1
  at::Tensor scale{};                          ///< [n]; undefined: 1

  explicit operator bool() const { return generator != nullptr; }
  /// The factor at t times m [n, columns].
  at::Tensor times(double t, const at::Tensor& m) const;
  /// m [rows, n] times the factor at t.
  at::Tensor after(double t, const at::Tensor& m) const;
  /// The same with diag(scale) B diag(1/scale) in the factor's place.
  at::Tensor rate_times(const at::Tensor& m) const;
  at::Tensor rate_after(const at::Tensor& m) const;
};

}  // namespace deadray::flat
