#include "host/formats/gguf/ggml_types.h"

#include <algorithm>
#include <array>

#include "host/formats/gguf/block_codes.h"

namespace deadray {
namespace {

constexpr GgmlType plain(std::uint32_t number, std::string_view name, std::size_t bytes,
                         DType dtype) {
  return {number, {name, 1, bytes, nullptr}, dtype};
}

constexpr GgmlType coded(std::uint32_t number, std::string_view name, std::int64_t elements,
                         std::size_t bytes, decltype(BlockCode::decode) decode) {
  return {number, {name, elements, bytes, decode}, DType::f32};
}

/// Known by name and size alone. Codebooks of hundreds of vectors (IQ1 to IQ3), a second scale in
/// another tensor (NVFP4), blocks that are computed with but not stored (Q8_1, Q8_K).
constexpr GgmlType not_decoded(std::uint32_t number, std::string_view name, std::int64_t elements,
                               std::size_t bytes) {
  return {number, {name, elements, bytes, nullptr}, DType::unknown};
}

constexpr std::array kGgmlTypes{
    plain(0, "F32", 4, DType::f32),
    plain(1, "F16", 2, DType::f16),
    coded(2, "Q4_0", 32, 18, decode_q4_0),
    coded(3, "Q4_1", 32, 20, decode_q4_1),
    coded(6, "Q5_0", 32, 22, decode_q5_0),
    coded(7, "Q5_1", 32, 24, decode_q5_1),
    coded(8, "Q8_0", 32, 34, decode_q8_0),
    not_decoded(9, "Q8_1", 32, 36),
    coded(10, "Q2_K", 256, 84, decode_q2_k),
    coded(11, "Q3_K", 256, 110, decode_q3_k),
    coded(12, "Q4_K", 256, 144, decode_q4_k),
    coded(13, "Q5_K", 256, 176, decode_q5_k),
    coded(14, "Q6_K", 256, 210, decode_q6_k),
    not_decoded(15, "Q8_K", 256, 292),
    not_decoded(16, "IQ2_XXS", 256, 66),
    not_decoded(17, "IQ2_XS", 256, 74),
    not_decoded(18, "IQ3_XXS", 256, 98),
    not_decoded(19, "IQ1_S", 256, 50),
    coded(20, "IQ4_NL", 32, 18, decode_iq4_nl),
    not_decoded(21, "IQ3_S", 256, 110),
    not_decoded(22, "IQ2_S", 256, 82),
    coded(23, "IQ4_XS", 256, 136, decode_iq4_xs),
    plain(24, "I8", 1, DType::i8),
    plain(25, "I16", 2, DType::i16),
    plain(26, "I32", 4, DType::i32),
    plain(27, "I64", 8, DType::i64),
    plain(28, "F64", 8, DType::f64),
    not_decoded(29, "IQ1_M", 256, 56),
    plain(30, "BF16", 2, DType::bf16),
    coded(34, "TQ1_0", 256, 54, decode_tq1_0),
    coded(35, "TQ2_0", 256, 66, decode_tq2_0),
    coded(39, "MXFP4", 32, 17, decode_mxfp4),
    not_decoded(40, "NVFP4", 64, 36),
    not_decoded(41, "Q1_0", 128, 18),
};

}  // namespace

const GgmlType* find_ggml_type(std::uint32_t number) noexcept {
  const auto found = std::find_if(kGgmlTypes.begin(), kGgmlTypes.end(),
                                  [&](const GgmlType& type) { return type.number == number; });
  return found == kGgmlTypes.end() ? nullptr : &*found;
}

}  // namespace deadray
