#pragma once

#include <cstddef>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

namespace deadray {

/// Leaves new elements unset where std::vector would zero them, for vectors that are written in
/// full before they are read.
template <class T>
struct UnsetAllocator : std::allocator<T> {
  template <class U>
  struct rebind {
    using other = UnsetAllocator<U>;
  };
  template <class U, class... Arguments>
  void construct(U* place, Arguments&&... arguments) {
    if constexpr (sizeof...(Arguments) == 0) {
      ::new (static_cast<void*>(place)) U;
    } else {
      ::new (static_cast<void*>(place)) U(std::forward<Arguments>(arguments)...);
    }
  }
};
using UnsetVector = std::vector<double, UnsetAllocator<double>>;

/// What one pass over gamma and beta yields.
struct ReciprocalSums {
  double lowest = std::numeric_limits<double>::infinity(), highest = 0.0;  ///< of |gamma|
  double inverse_squares = 0.0;                                            ///< sum 1/gamma^2
  double quotients = 0.0;                                                  ///< sum beta/gamma
  double quotient_squares = 0.0;                                           ///< sum (beta/gamma)^2
};

/// Writes 1/gamma, within 4 roundings, and sums up in FP64, in the same order on every machine.
/// Zeros, values that are not finite and magnitudes outside 2^-200 … 2^200 show: in lowest, in
/// highest, or as a sum that is not finite. The rest is then of no use.
/// @param gamma    [n]
/// @param beta     [n], or null: then both sums of quotients are 0
/// @param inverse  [n], may be gamma itself
ReciprocalSums invert(const double* gamma, const double* beta, double* inverse, std::size_t n);

}  // namespace deadray
