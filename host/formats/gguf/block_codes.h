#pragma once

#include <cstddef>
#include <cstdint>

// Decoders of the block types that GGUF files store, for BlockCode::decode. Each is computed in
// float32 in the order in which the format defines it, so that it agrees to the bit with any other
// reader that rounds after every operation.
namespace deadray {

// Blocks of 32 elements: basic_blocks.cpp. `_0` has a scale, `_1` a scale and an offset.
void decode_q4_0(const std::byte* stored, std::int64_t blocks, float* values);
void decode_q4_1(const std::byte* stored, std::int64_t blocks, float* values);
void decode_q5_0(const std::byte* stored, std::int64_t blocks, float* values);
void decode_q5_1(const std::byte* stored, std::int64_t blocks, float* values);
void decode_q8_0(const std::byte* stored, std::int64_t blocks, float* values);
void decode_iq4_nl(const std::byte* stored, std::int64_t blocks, float* values);
void decode_mxfp4(const std::byte* stored, std::int64_t blocks, float* values);

// Blocks of 256 elements in groups of 16 or 32 with small scales of their own: super_blocks.cpp.
void decode_q2_k(const std::byte* stored, std::int64_t blocks, float* values);
void decode_q3_k(const std::byte* stored, std::int64_t blocks, float* values);
void decode_q4_k(const std::byte* stored, std::int64_t blocks, float* values);
void decode_q5_k(const std::byte* stored, std::int64_t blocks, float* values);
void decode_q6_k(const std::byte* stored, std::int64_t blocks, float* values);
void decode_iq4_xs(const std::byte* stored, std::int64_t blocks, float* values);

// Blocks of 256 elements -1, 0, 1 with one scale: super_blocks.cpp.
void decode_tq1_0(const std::byte* stored, std::int64_t blocks, float* values);
void decode_tq2_0(const std::byte* stored, std::int64_t blocks, float* values);

}  // namespace deadray
