#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <cstdint>

namespace deadray {

/// A value and its derivatives along K directions.
struct Dual {
  at::Tensor value;
  /// [K, ...] of the value's shape; undefined: all zero.
  at::Tensor tangents;
};

/// Forward-mode differentiation along K directions at once. While it lives, libtorch's operations
/// on tensors that lift() made carry K tangents beside one value. So a pass costs 1 + K of its kind
/// and keeps nothing for later. It is jvp inside vmap, as torch.func has them. One may live at a
/// time, and all of it happens on one thread.
class ForwardMode {
 public:
  explicit ForwardMode(std::int64_t directions);
  ~ForwardMode();
  ForwardMode(const ForwardMode&) = delete;
  ForwardMode& operator=(const ForwardMode&) = delete;

  std::int64_t directions() const noexcept { return directions_; }
  at::Tensor lift(const Dual& dual) const;
  /// What x stands for, as plain tensors that outlive the mode.
  /// @param x  may be undefined, or never lifted
  Dual lower(const at::Tensor& x) const;

  /// The one that lives on this thread, or null.
  static ForwardMode* current() noexcept;

  /// While it lives, operations on plain tensors give plain tensors although there is a mode: for
  /// loading, and for what needs no derivative.
  class Pause {
   public:
    Pause();

   private:
    c10::impl::ExcludeDispatchKeyGuard front_, back_;
  };

 private:
  std::int64_t directions_;
  std::int64_t vmap_level_ = 0, jvp_level_ = 0;
  std::uint64_t dual_level_ = 0;
};

}  // namespace deadray
