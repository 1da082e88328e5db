#include "verify/flat/generator.h"

#include <ATen/ATen.h>

namespace deadray::flat {
namespace {

/// a m, where a may be a diagonal.
at::Tensor left_product(const at::Tensor& a, const at::Tensor& m) {
  return a.dim() == 1 ? a.unsqueeze(1) * m : a.mm(m);
}
at::Tensor right_product(const at::Tensor& m, const at::Tensor& a) {
  return a.dim() == 1 ? m * a : m.mm(a);
}

at::Tensor left(const at::Tensor& a, const at::Tensor& scale, const at::Tensor& m) {
  if (!scale.defined()) return left_product(a, m);
  return left_product(a, m / scale.unsqueeze(1)).mul_(scale.unsqueeze(1));
}
at::Tensor right(const at::Tensor& m, const at::Tensor& scale, const at::Tensor& a) {
  if (!scale.defined()) return right_product(m, a);
  return right_product(m * scale, a).div_(scale);
}

}  // namespace

at::Tensor Generator::exponential(double t) const {
  const std::lock_guard lock(mutex_);
  if (!kept_.defined() || t_ != t) {
    kept_ = is_diagonal() ? (b_ * t).exp() : at::linalg_matrix_exp(b_ * t);
    t_ = t;
  }
  return kept_;
}

at::Tensor Factor::times(double t, const at::Tensor& m) const {
  return left(generator->exponential(t), scale, m);
}
at::Tensor Factor::after(double t, const at::Tensor& m) const {
  return right(m, scale, generator->exponential(t));
}
at::Tensor Factor::rate_times(const at::Tensor& m) const {
  return left(generator->matrix(), scale, m);
}
at::Tensor Factor::rate_after(const at::Tensor& m) const {
  return right(m, scale, generator->matrix());
}

}  // namespace deadray::flat
