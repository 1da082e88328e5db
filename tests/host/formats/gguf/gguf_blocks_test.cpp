#include <cstring>

#include "host/formats/checkpoint.h"
#include "host/formats/gguf/ggml_types.h"
#include "tests/support/errors.h"

namespace deadray::test {
namespace {

Checkpoint stored() { return Checkpoint::open(DEADRAY_FIXTURES "/gguf/types.gguf"); }
Checkpoint decoded() { return Checkpoint::open(DEADRAY_FIXTURES "/gguf/decoded.safetensors"); }

std::vector<float> read(const Checkpoint& checkpoint, const TensorInfo& tensor, std::int64_t first,
                        std::int64_t count) {
  std::vector<float> values(static_cast<std::size_t>(count));
  checkpoint.read(tensor, first, count, values.data());
  return values;
}

class GgufBlocksTest : public ::testing::TestWithParam<const char*> {};

TEST_P(GgufBlocksTest, DecodesToTheBitWhatPythonsGgufDecodes) {
  const Checkpoint blocks = stored(), values = decoded();
  const TensorInfo &tensor = blocks.at(GetParam()), &expected = values.at(GetParam());
  EXPECT_EQ(tensor.stored_dtype, GetParam());
  EXPECT_EQ(tensor.dtype, DType::f32);
  ASSERT_NE(tensor.code, nullptr);
  EXPECT_EQ(tensor.code->name, GetParam());
  ASSERT_EQ(tensor.shape, expected.shape);
  const std::vector<float> found = read(blocks, tensor, 0, tensor.elements()),
                           wanted = read(values, expected, 0, expected.elements());
  for (std::size_t i = 0; i < found.size(); ++i)
    ASSERT_EQ(std::memcmp(&found[i], &wanted[i], sizeof(float)), 0)
        << "element " << i << ": " << found[i] << ", expected " << wanted[i];
}

TEST_P(GgufBlocksTest, ReadsASliceThatBeginsAndEndsInsideBlocks) {
  const Checkpoint blocks = stored(), values = decoded();
  const std::int64_t last = blocks.at(GetParam()).elements() - 1;
  EXPECT_EQ(read(blocks, blocks.at(GetParam()), 17, last - 17),
            read(values, values.at(GetParam()), 17, last - 17));
}

INSTANTIATE_TEST_SUITE_P(Types, GgufBlocksTest,
                         ::testing::Values("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K",
                                           "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "TQ1_0",
                                           "TQ2_0", "MXFP4"),
                         [](const auto& type) { return std::string(type.param); });

TEST(GgufTypesTest, NamesATypeThatIsNotDecodedWhenItIsRead) {
  const Checkpoint checkpoint = stored();
  const TensorInfo& tensor = checkpoint.at("IQ2_XXS");
  EXPECT_EQ(tensor.shape, (std::vector<std::int64_t>{1, 256}));
  EXPECT_EQ(tensor.bytes, 66u);
  EXPECT_TRUE(contains(
      message_of(ExitCode::unsupported, [&] { checkpoint.read_fp64(tensor, 0, 1); }), "IQ2_XXS"));
}

TEST(GgufTypesTest, HasNoTypeThatFormatsNoLongerUse) {
  for (const std::uint32_t number : {4u, 5u, 31u, 32u, 33u, 36u, 37u, 38u, 42u, 1000u})
    EXPECT_EQ(find_ggml_type(number), nullptr) << number;
}

}  // namespace
}  // namespace deadray::test
