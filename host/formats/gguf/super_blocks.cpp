#include "host/formats/gguf/block_codes.h"
#include "host/formats/gguf/block_parts.h"

namespace deadray {
namespace {

constexpr int kElements = 256, kHalf = 128, kGroup = 32;

/// A group's scale and offset, 6 bits each.
struct ScaleAndLeast {
  float scale, least;
};

/// Of group 0 to 7 of Q4_K and Q5_K. Twelve bytes: scales and offsets of groups 0 to 3 in the low
/// 6 bits of bytes 0 to 3 and 4 to 7, whose upper 2 bits belong to groups 4 to 7; those have their
/// low 4 bits in bytes 8 to 11.
ScaleAndLeast packed_scales(const std::byte* packed, int group) {
  const int i = group % 4, first = byte_at(packed, i), second = byte_at(packed, 4 + i);
  if (group < 4) return {static_cast<float>(first & 63), static_cast<float>(second & 63)};
  return {static_cast<float>(low_nibble(packed, 8 + i) | first >> 6 << 4),
          static_cast<float>(high_nibble(packed, 8 + i) | second >> 6 << 4)};
}

/// Of sixteen 6-bit scales in twelve bytes: the low 4 bits of two each in the first eight, the
/// upper 2 bits of four each in the others.
int q3_scale(const std::byte* packed, int i) {
  const int low = byte_at(packed, i % 8) >> (i / 8 * 4) & 15;
  const int high = byte_at(packed, 8 + i % 4) >> (i / 4 * 2) & 3;
  return (low | high << 4) - 32;
}

/// Codes of 2 bits lie in two halves of 128 elements, 32 bytes each: group g of a half takes bits
/// 2g and 2g + 1 of all of them.
int two_bits(const std::byte* codes, int half, int group, int i) {
  return byte_at(codes, half * kGroup + i) >> (2 * group) & 3;
}

}  // namespace

void decode_q2_k(const std::byte* stored, std::int64_t blocks, float* values) {
  for (std::int64_t b = 0; b < blocks; ++b, stored += 84) {
    const std::byte *scales = stored, *codes = stored + 16;
    const float scale = half_at(stored, 80), offset = half_at(stored, 82);
    for (int group = 0; group < 8; ++group)
      for (int part = 0; part < 2; ++part, values += 16) {
        const float step = scale * static_cast<float>(low_nibble(scales, 2 * group + part));
        const float least = offset * static_cast<float>(high_nibble(scales, 2 * group + part));
        for (int i = 0; i < 16; ++i)
          values[i] =
              step * static_cast<float>(two_bits(codes, group / 4, group % 4, 16 * part + i)) -
              least;
      }
  }
}

void decode_q3_k(const std::byte* stored, std::int64_t blocks, float* values) {
  for (std::int64_t b = 0; b < blocks; ++b, stored += 110) {
    const std::byte *third_bits = stored, *codes = stored + 32, *scales = stored + 96;
    const float scale = half_at(stored, 108);
    for (int group = 0; group < 8; ++group)
      for (int part = 0; part < 2; ++part, values += 16) {
        const float step = scale * static_cast<float>(q3_scale(scales, 2 * group + part));
        for (int i = 0; i < 16; ++i) {
          const int at = 16 * part + i;
          const int third = byte_at(third_bits, at) >> group & 1;
          const int code = (two_bits(codes, group / 4, group % 4, at) | third << 2) - 4;
          values[i] = step * static_cast<float>(code);
        }
      }
  }
}

void decode_q4_k(const std::byte* stored, std::int64_t blocks, float* values) {
  for (std::int64_t b = 0; b < blocks; ++b, stored += 144) {
    const std::byte *scales = stored + 4, *codes = stored + 16;
    const float scale = half_at(stored, 0), offset = half_at(stored, 2);
    for (int group = 0; group < 8; ++group, values += kGroup) {
      const ScaleAndLeast own = packed_scales(scales, group);
      const float step = scale * own.scale, least = offset * own.least;
      const int shift = group % 2 * 4;
      for (int i = 0; i < kGroup; ++i) {
        const int code = byte_at(codes, group / 2 * kGroup + i) >> shift & 15;
        values[i] = step * static_cast<float>(code) - least;
      }
    }
  }
}

void decode_q5_k(const std::byte* stored, std::int64_t blocks, float* values) {
  for (std::int64_t b = 0; b < blocks; ++b, stored += 176) {
    const std::byte *scales = stored + 4, *fifth_bits = stored + 16, *codes = stored + 48;
    const float scale = half_at(stored, 0), offset = half_at(stored, 2);
    for (int group = 0; group < 8; ++group, values += kGroup) {
      const ScaleAndLeast own = packed_scales(scales, group);
      const float step = scale * own.scale, least = offset * own.least;
      const int shift = group % 2 * 4;
      for (int i = 0; i < kGroup; ++i) {
        const int low = byte_at(codes, group / 2 * kGroup + i) >> shift & 15;
        const int fifth = byte_at(fifth_bits, i) >> group & 1;
        values[i] = step * static_cast<float>(low | fifth << 4) - least;
      }
    }
  }
}

void decode_q6_k(const std::byte* stored, std::int64_t blocks, float* values) {
  for (std::int64_t b = 0; b < blocks; ++b, stored += 210) {
    const std::byte *low_bits = stored, *high_bits = stored + 128, *scales = stored + 192;
    const float scale = half_at(stored, 208);
    for (int group = 0; group < 8; ++group)
      for (int part = 0; part < 2; ++part, values += 16) {
        // Each half of the block has 64 bytes of low bits, for four groups: two by the low
        // nibbles, two by the high ones.
        const int half = group / 4, first = half * 64 + group % 2 * kGroup + 16 * part;
        const int shift = group % 4 / 2 * 4;
        const float step = scale * static_cast<float>(signed_byte_at(scales, 2 * group + part));
        for (int i = 0; i < 16; ++i) {
          const int low = byte_at(low_bits, first + i) >> shift & 15;
          const int high = two_bits(high_bits, half, group % 4, 16 * part + i);
          values[i] = step * static_cast<float>((low | high << 4) - 32);
        }
      }
  }
}

void decode_iq4_xs(const std::byte* stored, std::int64_t blocks, float* values) {
  for (std::int64_t b = 0; b < blocks; ++b, stored += 136) {
    const float scale = half_at(stored, 0);
    const int high_scales = byte_at(stored, 2) | byte_at(stored, 3) << 8;
    for (int group = 0; group < 8; ++group, values += kGroup) {
      const int low = byte_at(stored, 4 + group / 2) >> (group % 2 * 4) & 15;
      const int high = high_scales >> (2 * group) & 3;
      const float step = scale * static_cast<float>((low | high << 4) - 32);
      const std::byte* codes = stored + 8 + group * 16;
      for (int i = 0; i < 16; ++i) {
        values[i] = step * kIq4Values[static_cast<std::size_t>(low_nibble(codes, i))];
        values[16 + i] = step * kIq4Values[static_cast<std::size_t>(high_nibble(codes, i))];
      }
    }
  }
}

void decode_tq1_0(const std::byte* stored, std::int64_t blocks, float* values) {
  // A byte holds five digits to the base 3 as a fraction of 256; multiplied by 3^k, its integer
  // part falls away, and three times what is left has digit k before the point. Bytes come in runs
  // of 32, 16 and 4; the last run has four digits a byte.
  struct Run {
    int first, bytes, digits;
  };
  for (std::int64_t b = 0; b < blocks; ++b, stored += 54) {
    const float scale = half_at(stored, 52);
    for (const Run& run : {Run{0, 32, 5}, Run{32, 16, 5}, Run{48, 4, 4}})
      for (int digit = 0, power = 1; digit < run.digits; ++digit, power *= 3)
        for (int i = 0; i < run.bytes; ++i) {
          const int fraction = byte_at(stored, run.first + i) * power & 255;
          *values++ = scale * static_cast<float>((fraction * 3 >> 8) - 1);
        }
  }
}

void decode_tq2_0(const std::byte* stored, std::int64_t blocks, float* values) {
  for (std::int64_t b = 0; b < blocks; ++b, stored += 66) {
    const float scale = half_at(stored, 64);
    for (int group = 0; group < 8; ++group, values += kGroup)
      for (int i = 0; i < kGroup; ++i)
        values[i] = scale * static_cast<float>(two_bits(stored, group / 4, group % 4, i) - 1);
  }
}

}  // namespace deadray
