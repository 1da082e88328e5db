#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <vector>

#include "host/architecture/gguf/gguf_model.h"
#include "tests/support/architecture_text.h"

// A GGUF file of a release beside what `deadray convert` made of it, where scripts/samples has
// fetched it. Both come from one decoder, which GgufBlocksTest holds to Python's gguf.
namespace deadray {
namespace {

const std::filesystem::path kSample = DEADRAY_SAMPLES "/smollm2-135m";
const std::filesystem::path kGguf = kSample / "original" / "SmolLM2-135M-Instruct.Q4_1.gguf";

class GgufSampleTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(kGguf)) GTEST_SKIP() << "run scripts/samples first";
  }
};

std::vector<float> values_of(const Checkpoint& checkpoint, const TensorInfo& tensor) {
  std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
  checkpoint.read(tensor, values.data());
  return values;
}

TEST_F(GgufSampleTest, HasTheConvertedTensorsBitForBit) {
  Checkpoint checkpoint = Checkpoint::open(kGguf);
  take_gguf_as_family(checkpoint);
  const Checkpoint converted = Checkpoint::open(kSample);
  ASSERT_EQ(checkpoint.tensors().size(), converted.tensors().size());
  for (const TensorInfo& tensor : converted.tensors()) {
    const TensorInfo& found = checkpoint.at(tensor.name);
    ASSERT_EQ(found.shape, tensor.shape) << tensor.name;
    ASSERT_EQ(found.dtype, tensor.dtype) << tensor.name;
    const std::vector<float> values = values_of(checkpoint, found),
                             expected = values_of(converted, tensor);
    EXPECT_EQ(std::memcmp(values.data(), expected.data(), values.size() * sizeof(float)), 0)
        << tensor.name;
  }
}

TEST_F(GgufSampleTest, IsDescribedAsTheConvertedModelIs) {
  Checkpoint checkpoint = Checkpoint::open(kGguf);
  EXPECT_EQ(test::text_of(describe_architecture(take_gguf_as_family(checkpoint))),
            test::text_of(describe_architecture(Config::load(kSample))));
}

}  // namespace
}  // namespace deadray
