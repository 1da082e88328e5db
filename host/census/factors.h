#pragma once

#include <algorithm>
#include <cstdint>

namespace deadray::census {

/// Dimension of the pairs A [inner, in], B [out, inner] that have one product B A: inner^2, for
/// A -> G A, B -> B G^-1, unless the product has a smaller rank than `inner`.
inline std::int64_t factorisations(std::int64_t in, std::int64_t inner, std::int64_t out) {
  const std::int64_t rank = std::min({in, inner, out});
  return (inner - rank) * (in + out) + rank * rank;
}

/// Dimension of the rotations of n dimensions.
inline std::int64_t rotations(std::int64_t n) { return n < 2 ? 0 : n * (n - 1) / 2; }

}  // namespace deadray::census
