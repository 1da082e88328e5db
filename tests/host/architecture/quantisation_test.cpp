#include "host/architecture/fit/quantisation.h"

#include <gtest/gtest.h>

#include "tests/support/errors.h"
#include "tests/support/safetensors_bytes.h"
#include "tests/support/temporary_folder.h"

namespace deadray::test {
namespace {

std::string said_by(const std::string& keys) {
  return quantisation_of(Config::parse("{" + keys + "}", "config.json"));
}

TEST(QuantisationTest, IsReadFromTheConfiguration) {
  EXPECT_EQ(said_by(R"("quantization_config": {"quant_method": "gptq", "bits": 4})"), "gptq");
  EXPECT_EQ(said_by(R"("quantization_config": {"load_in_4bit": true,
                       "bnb_4bit_quant_type": "nf4"})"),
            "bitsandbytes nf4");
  EXPECT_EQ(said_by(R"("quantization_config": {"quant_method": "bitsandbytes",
                       "load_in_8bit": true})"),
            "bitsandbytes");
  EXPECT_EQ(said_by(R"("compression_config": {"format": "int-quantized"})"), "compression_config");
  EXPECT_EQ(said_by(R"("quantization": {"group_size": 64, "bits": 4})"), "mlx 4-bit");
  EXPECT_EQ(said_by(R"("quantization_config": null)"), "");
}

/// A file with these tensors of two bytes, or as many of a wider type.
class QuantisedTensorsTest : public ::testing::Test {
 protected:
  struct Stored {
    std::string name, dtype, shape;
    int bytes;
  };
  Checkpoint checkpoint(const std::vector<Stored>& tensors) const {
    std::string header = "{";
    int end = 0;
    for (const Stored& tensor : tensors) {
      header += (end > 0 ? ", \"" : "\"") + tensor.name + "\": {\"dtype\": \"" + tensor.dtype +
                "\", \"shape\": " + tensor.shape + ", \"data_offsets\": [" + std::to_string(end) +
                ", " + std::to_string(end + tensor.bytes) + "]}";
      end += tensor.bytes;
    }
    return Checkpoint::open(
        folder_.write("m.safetensors",
                      safetensors(header + "}", std::string(static_cast<std::size_t>(end), '\0'))));
  }
  std::string method(const std::vector<Stored>& tensors) const {
    const Checkpoint all = checkpoint(tensors);
    const auto found = quantisation_of(all);
    return found ? found->method + ": " + found->tensor->name : "none";
  }
  TemporaryFolder folder_;
};

TEST_F(QuantisedTensorsTest, BearTheMarksOfTheirMethod) {
  const Stored plain{"a.weight", "F16", "[1, 1]", 2};
  EXPECT_EQ(method({plain}), "none");
  EXPECT_TRUE(method({plain, {"b.qweight", "I32", "[1, 1]", 4}, {"b.g_idx", "I32", "[1]", 4}})
                  .starts_with("gptq: b.g_idx"));
  EXPECT_TRUE(method({{"b.qweight", "I32", "[1, 1]", 4}}).starts_with("gptq or awq"));
  EXPECT_TRUE(method({{"b.weight.quant_state.bitsandbytes__nf4", "U8", "[1]", 1}})
                  .starts_with("bitsandbytes nf4"));
  EXPECT_TRUE(method({{"b.weight", "I8", "[1, 1]", 1}, {"b.SCB", "F32", "[1]", 4}})
                  .starts_with("bitsandbytes int8"));
  EXPECT_TRUE(method({{"b.weight_packed", "I32", "[1, 1]", 4}}).starts_with("compressed-tensors"));
  EXPECT_TRUE(method({{"e.gate_up_proj_blocks", "U8", "[1, 1]", 1}}).starts_with("mxfp4"));
  EXPECT_TRUE(method({{"b.scales", "F16", "[1, 1]", 2}, {"b.weight", "U32", "[1, 1]", 4}})
                  .starts_with("mlx"));
  EXPECT_TRUE(method({{"b.weight", "I8", "[1, 1]", 1}}).starts_with("stored as I8"));
  EXPECT_EQ(method({{"b.alibi", "I8", "[1, 1]", 1}}), "none") << "no weight";
}

TEST_F(QuantisedTensorsTest, AreWeightsLikeOthersWhereFp8HasItsScale) {
  const Stored weight{"b.weight", "F8_E4M3", "[1, 2]", 2};
  EXPECT_TRUE(method({weight}).starts_with("FP8 without a scale"));
  for (const char* scale : {"b.weight_scale", "b.weight_scale_inv"}) {
    const Stored beside{scale, "F32", "[1]", 4};
    EXPECT_EQ(method({weight, beside}), "none") << scale;
    const Checkpoint both = checkpoint({weight, beside});
    EXPECT_EQ(fp8_scale(both, both.at("b.weight"))->name, scale);
    EXPECT_TRUE(is_beside_fp8(both, both.at(scale)));
    EXPECT_FALSE(is_beside_fp8(both, both.at("b.weight")));
  }
  const Checkpoint plain =
      checkpoint({{"b.weight", "F16", "[1, 1]", 2}, {"b.weight_scale", "F32", "[1]", 4}});
  EXPECT_FALSE(is_beside_fp8(plain, plain.at("b.weight_scale"))) << "left behind";
}

}  // namespace
}  // namespace deadray::test
