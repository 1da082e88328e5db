#include "verify/weights/fp8.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "tests/support/errors.h"
#include "tests/support/safetensors_bytes.h"
#include "tests/support/temporary_folder.h"

namespace deadray::test {
namespace {

class Fp8WeightTest : public ::testing::Test {
 protected:
  /// A weight of these codes, and a scale in F32.
  Checkpoint checkpoint(const std::string& dtype, const std::string& shape,
                        const std::string& codes, const std::string& scale_shape,
                        const std::vector<float>& scales) const {
    const std::string end = std::to_string(codes.size()),
                      all = std::to_string(codes.size() + 4 * scales.size());
    return Checkpoint::open(folder_.write(
        "m.safetensors",
        safetensors(R"({"w.weight": {"dtype": ")" + dtype + R"(", "shape": )" + shape +
                        R"(, "data_offsets": [0, )" + end +
                        R"(]}, "w.weight_scale": {"dtype": "F32", "shape": )" + scale_shape +
                        R"(, "data_offsets": [)" + end + ", " + all + "]}}",
                    codes + bytes_of(scales))));
  }
  static std::vector<float> read(const Checkpoint& checkpoint, std::int64_t first,
                                 std::int64_t count) {
    std::vector<float> values(static_cast<std::size_t>(count));
    Fp8Weight(checkpoint, checkpoint.at("w.weight")).read(first, count, values.data());
    return values;
  }
  TemporaryFolder folder_;
};

TEST_F(Fp8WeightTest, KnowsTheValuesOfBothTypes) {
  // The numbers of the OCP 8-bit format: largest, least normal, least subnormal, minus one and a
  // half, NaN.
  const std::string e4m3("\x7e\x08\x01\xbc\x7f", 5);
  std::vector<float> values = read(checkpoint("F8_E4M3", "[1, 5]", e4m3, "[]", {1.0F}), 0, 5);
  EXPECT_EQ(values[0], 448.0F);
  EXPECT_EQ(values[1], 0x1p-6F);
  EXPECT_EQ(values[2], 0x1p-9F);
  EXPECT_EQ(values[3], -1.5F);
  EXPECT_TRUE(std::isnan(values[4]));
  const std::string e5m2("\x7b\x04\x01\xbe\x7c", 5);
  values = read(checkpoint("F8_E5M2", "[1, 5]", e5m2, "[1]", {1.0F}), 0, 5);
  EXPECT_EQ(values[0], 57344.0F);
  EXPECT_EQ(values[1], 0x1p-14F);
  EXPECT_EQ(values[2], 0x1p-16F);
  EXPECT_EQ(values[3], -1.5F);
  EXPECT_EQ(values[4], std::numeric_limits<float>::infinity());
}

TEST_F(Fp8WeightTest, RefusesAScaleThatWouldWipeTheWeightsOut) {
  for (const float scale : {0.0F, std::numeric_limits<float>::infinity()})
    EXPECT_TRUE(contains(
        message_of(ExitCode::malformed,
                   [&] { read(checkpoint("F8_E4M3", "[1, 1]", "\x08", "[]", {scale}), 0, 1); }),
        "tensor 'w.weight_scale': element 0 is "));
}

TEST_F(Fp8WeightTest, MultipliesEachRowOrBlockByItsOwnScale) {
  const std::string ones(6, '\x38');  // 1.0 each
  EXPECT_EQ(read(checkpoint("F8_E4M3", "[3, 2]", ones, "[3, 1]", {1, 2, 3}), 0, 6),
            (std::vector<float>{1, 1, 2, 2, 3, 3}));
  EXPECT_EQ(read(checkpoint("F8_E4M3", "[3, 2]", ones, "[3, 1]", {1, 2, 3}), 3, 2),
            (std::vector<float>{2, 3}))
      << "a piece that begins and ends inside rows";

  const std::string many(130 * 129, '\x38');
  const Checkpoint blocks = checkpoint("F8_E4M3", "[130, 129]", many, "[2, 2]", {1, 2, 3, 4});
  const std::vector<float> all = read(blocks, 0, 130 * 129);
  const auto at = [&](int row, int column) {
    return all[static_cast<std::size_t>(row * 129 + column)];
  };
  EXPECT_EQ(at(127, 127), 1.0F);
  EXPECT_EQ(at(127, 128), 2.0F);
  EXPECT_EQ(at(128, 127), 3.0F);
  EXPECT_EQ(at(129, 128), 4.0F);
}

TEST_F(Fp8WeightTest, KeepsTheMatricesOfExpertsApart) {
  const std::string ones(8, '\x38');
  EXPECT_EQ(read(checkpoint("F8_E4M3", "[2, 2, 2]", ones, "[2, 1, 1]", {1, 5}), 0, 8),
            (std::vector<float>{1, 1, 1, 1, 5, 5, 5, 5}));
}

TEST_F(Fp8WeightTest, RefusesAScaleThatDoesNotFit) {
  const std::string ones(6, '\x38');
  EXPECT_TRUE(contains(
      message_of(ExitCode::malformed,
                 [&] { read(checkpoint("F8_E4M3", "[3, 2]", ones, "[2, 1]", {1, 2}), 0, 6); }),
      "scale of shape [2, 1] for a weight of shape [3, 2]"));
}

}  // namespace
}  // namespace deadray::test
