#include "host/formats/elements/halves.h"

#include <bit>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace deadray {
namespace {

/// Selects instead of branches, so that the loop vectorises; subnormals go through an integer and
/// so survive flush-to-zero modes.
double widen_half(std::uint16_t bits) noexcept {
  const std::uint64_t sign = static_cast<std::uint64_t>(bits >> 15) << 63,
                      exponent = (bits >> 10) & 31, fraction = bits & 1023;
  const std::uint64_t rebased = exponent == 31 ? 2047 : exponent + (1023 - 15);
  const std::uint64_t normal = rebased << 52 | fraction << 42;
  const std::uint64_t subnormal = std::bit_cast<std::uint64_t>(
      static_cast<double>(static_cast<std::int32_t>(fraction)) * 0x1p-24);
  return std::bit_cast<double>(sign | (exponent == 0 ? subnormal : normal));
}

#if defined(__x86_64__)
bool has_f16c() noexcept {
  unsigned a, b, c, d;  // Clang 14 knows F16C not by name
  return __builtin_cpu_supports("avx") && __get_cpuid(1, &a, &b, &c, &d) != 0 &&
         (c & bit_F16C) != 0;
}

/// The instruction knows no flush-to-zero mode, and what it gives is normal as a float32.
__attribute__((target("avx,f16c"))) void widen_by_f16c(const std::byte* stored, double* values,
                                                       std::size_t count) noexcept {
  std::size_t i = 0;
  for (; i + 4 <= count; i += 4) {
    const __m128i halves = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(stored + 2 * i));
    _mm256_storeu_pd(values + i, _mm256_cvtps_pd(_mm_cvtph_ps(halves)));
  }
  widen_halves_portably(stored + 2 * i, values + i, count - i);
}
#endif

}  // namespace

void widen_halves_portably(const std::byte* stored, double* values, std::size_t count) noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    std::uint16_t bits;  // copied bytewise: a checkpoint aligns nothing
    std::memcpy(&bits, stored + 2 * i, sizeof bits);
    values[i] = widen_half(bits);
  }
}

void widen_halves(const std::byte* stored, double* values, std::size_t count) noexcept {
#if defined(__x86_64__)
  static const bool by_f16c = has_f16c();
  if (by_f16c) return widen_by_f16c(stored, values, count);
#endif
  widen_halves_portably(stored, values, count);
}

}  // namespace deadray
