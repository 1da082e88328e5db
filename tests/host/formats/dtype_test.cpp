#include "host/formats/dtype.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

namespace deadray {
namespace {

/// The value that sign, exponent and fraction bits stand for, straight from the definition of the
/// binary formats.
double by_definition(std::uint32_t bits, int exponent_bits, int fraction_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1,
            exponent = static_cast<int>(bits >> fraction_bits) & ((1 << exponent_bits) - 1);
  const double fraction =
      std::ldexp(static_cast<double>(bits & ((1u << fraction_bits) - 1)), -fraction_bits);
  const double sign = bits >> (exponent_bits + fraction_bits) & 1 ? -1.0 : 1.0;
  if (exponent == (1 << exponent_bits) - 1)
    return fraction == 0 ? sign * std::numeric_limits<double>::infinity() : std::nan("");
  return sign * (exponent == 0 ? std::ldexp(fraction, 1 - bias)
                               : std::ldexp(1 + fraction, exponent - bias));
}

bool same(double a, double b) {
  return std::isnan(a) ? std::isnan(b) : a == b && std::signbit(a) == std::signbit(b);
}

class WidenTest : public ::testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(SixteenBits, WidenTest, ::testing::Values(DType::f16, DType::bf16),
                         [](const auto& type) { return std::string(to_string(type.param)); });

TEST_P(WidenTest, IsExactForAllBitPatterns) {
  std::vector<std::uint16_t> stored(65536);
  for (std::size_t i = 0; i < stored.size(); ++i) stored[i] = static_cast<std::uint16_t>(i);
  std::vector<double> values(stored.size());
  widen(GetParam(), std::as_bytes(std::span(stored)), values);
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const double expected =
        GetParam() == DType::f16 ? by_definition(bits, 5, 10) : by_definition(bits, 8, 7);
    ASSERT_TRUE(same(values[bits], expected))
        << "pattern " << bits << " gave " << values[bits] << ", expected " << expected;
  }
}

TEST(DTypeTest, WidensFloat32Exactly) {
  std::vector<std::uint32_t> stored{0,           0x80000000u, 1,           0x007fffffu, 0x00800000u,
                                    0x7f7fffffu, 0x7f800000u, 0xff800000u, 0x7fc00000u};
  for (std::uint32_t i = 0; i < 100'000; ++i) stored.push_back(i * 42949u);
  std::vector<double> values(stored.size());
  widen(DType::f32, std::as_bytes(std::span(stored)), values);
  for (std::size_t i = 0; i < stored.size(); ++i)
    ASSERT_TRUE(same(values[i], by_definition(stored[i], 8, 23))) << "pattern " << stored[i];
}

TEST(DTypeTest, WidensFloat64BitForBitFromAnyAddress) {
  const std::vector<double> wanted{5e-324, -0.0, 1.0 / 3, std::numeric_limits<double>::infinity(),
                                   std::nan("")};
  std::vector<std::byte> bytes(1 + wanted.size() * sizeof(double));
  std::memcpy(bytes.data() + 1, wanted.data(), bytes.size() - 1);
  std::vector<double> values(wanted.size());
  widen(DType::f64, std::span(bytes).subspan(1), values);
  EXPECT_EQ(std::memcmp(values.data(), wanted.data(), bytes.size() - 1), 0);
}

TEST(DTypeTest, RefusesWhatIsNoPlainFloat) {
  std::byte byte{};
  double value = 0;
  EXPECT_THROW(widen(DType::i8, {&byte, 1}, {&value, 1}), std::invalid_argument);
  EXPECT_THROW(widen(DType::f32, {&byte, 1}, {&value, 1}), std::invalid_argument);
  EXPECT_THROW(unit_roundoff(DType::f8_e4m3), std::invalid_argument);
}

TEST(DTypeTest, KnowsTheNamesOfSafetensors) {
  for (const char* name : {"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "I64", "I32", "I16",
                           "I8", "U64", "U32", "U16", "U8", "BOOL"}) {
    EXPECT_NE(parse_dtype(name), DType::unknown) << name;
    EXPECT_EQ(to_string(parse_dtype(name)), name);
    EXPECT_GT(size_of(parse_dtype(name)), 0u);
  }
  EXPECT_EQ(parse_dtype("float32"), DType::unknown);
  EXPECT_EQ(size_of(DType::unknown), 0u);
}

TEST(DTypeTest, UnitRoundoffIsHalfTheGapAboveOne) {
  EXPECT_EQ(unit_roundoff(DType::f64), std::numeric_limits<double>::epsilon() / 2);
  EXPECT_EQ(unit_roundoff(DType::f32), std::numeric_limits<float>::epsilon() / 2);
  const std::vector<std::uint16_t> after_one{0x3c01,
                                             0x3f81};  // the numbers that follow 1 in f16 and bf16
  double next = 0;
  widen(DType::f16, std::as_bytes(std::span(after_one).first(1)), {&next, 1});
  EXPECT_EQ(unit_roundoff(DType::f16), (next - 1) / 2);
  widen(DType::bf16, std::as_bytes(std::span(after_one).last(1)), {&next, 1});
  EXPECT_EQ(unit_roundoff(DType::bf16), (next - 1) / 2);
}

}  // namespace
}  // namespace deadray
