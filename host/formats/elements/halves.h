#pragma once

#include <cstddef>

namespace deadray {

/// Widens `count` little-endian float16 numbers at any address, exactly, subnormals too, whatever
/// the processor's mode for them is. With F16C it takes a tenth of the time that it takes without.
void widen_halves(const std::byte* stored, double* values, std::size_t count) noexcept;

/// The same by integer arithmetic, as any processor can do it.
void widen_halves_portably(const std::byte* stored, double* values, std::size_t count) noexcept;

}  // namespace deadray
