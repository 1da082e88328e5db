#include "host/architecture/gguf/gguf_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "host/architecture/fit/fit_to_checkpoint.h"
#include "host/architecture/gguf/gguf_table.h"
#include "host/architecture/norm_parameters.h"
#include "tests/support/architecture_text.h"
#include "tests/support/errors.h"
#include "tests/support/gguf_bytes.h"
#include "tests/support/temporary_folder.h"

namespace deadray {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

const fs::path kFixtures = DEADRAY_FIXTURES;
const fs::path kModels = kFixtures / "gguf" / "models";

Json read_json(const fs::path& file) { return Json::parse(std::ifstream(file)); }

bool is_gemma(const Json& fixture) {
  return fixture.at("name").get<std::string>().starts_with("gemma");
}

/// A family's own files, and what llama.cpp's converter makes of them.
class GgufFamilyTest : public ::testing::TestWithParam<Json> {
 protected:
  fs::path source() const { return kFixtures / "models" / GetParam().at("model"); }
  Checkpoint converted() const {
    return Checkpoint::open(kModels / (GetParam().at("name").get<std::string>() + ".gguf"));
  }
  Checkpoint original() const { return Checkpoint::open(source()); }
  bool is_left_out(const std::string& tensor) const {
    for (const std::string part : GetParam().at("left_out"))
      if (tensor.starts_with(part)) return true;
    return false;
  }

  /// The original's values, with the scale that the fixture has set to zero.
  std::vector<double> expected_values(const Checkpoint& checkpoint,
                                      const TensorInfo& tensor) const {
    std::vector<double> values = checkpoint.read_fp64(tensor);
    const Json& zero = GetParam().at("zero");
    if (!zero.is_null() && zero.at(0) == tensor.name)
      values.at(zero.at(1).get<std::size_t>()) = -1.0;
    // The converter adds the 1 in float32; the sum of two floats in double, rounded, is the same.
    if (is_gemma(GetParam()) && tensor.name.ends_with("norm.weight"))
      for (double& value : values) value = static_cast<float>(value + 1.0);
    return values;
  }
};

TEST_P(GgufFamilyTest, HasTheTensorsThatTheConverterFound) {
  Checkpoint checkpoint = converted();
  ASSERT_TRUE(is_known_gguf(checkpoint));
  take_gguf_as_family(checkpoint);
  const Checkpoint model = original();
  std::set<std::string> names, expected_names;
  for (const TensorInfo& tensor : checkpoint.tensors()) names.insert(tensor.name);
  for (const TensorInfo& tensor : model.tensors())
    if (!is_left_out(tensor.name)) expected_names.insert(tensor.name);
  ASSERT_EQ(names, expected_names);
  // A step of Q8_0 is a 127th of its block's largest value, itself rounded to 11 bits: half a step
  // of rounding and 127 steps that are each 2^-12 off.
  const double relative =
      GetParam().at("quantised").get<bool>() ? 0.5 / 127.0 + std::exp2(-12) : 0.0;
  for (const std::string& name : names) {
    const TensorInfo& tensor = checkpoint.at(name);
    EXPECT_EQ(tensor.shape, model.at(name).shape) << name;
    const std::vector<double> values = checkpoint.read_fp64(tensor),
                              expected = expected_values(model, model.at(name));
    double largest = 0.0, difference = 0.0;
    ASSERT_EQ(values.size(), expected.size()) << name;
    for (std::size_t i = 0; i < values.size(); ++i) {
      largest = std::max(largest, std::abs(expected[i]));
      difference = std::max(difference, std::abs(values[i] - expected[i]));
    }
    EXPECT_LE(difference, relative * largest) << name;
  }
}

TEST_P(GgufFamilyTest, IsDescribedAsItsConfigurationDescribesIt) {
  Checkpoint checkpoint = converted();
  const Architecture found = describe_architecture(take_gguf_as_family(checkpoint));
  Json config = read_json(source() / "config.json");
  config.update(GetParam().at("unsaid"));
  const Architecture expected = describe_architecture(Config::parse(config.dump(), "config.json"));
  EXPECT_EQ(test::text_of(found), test::text_of(expected));
  EXPECT_TRUE(found.not_run.empty());
}

TEST_P(GgufFamilyTest, HasNormsWhoseScalesAreWhole) {
  Checkpoint checkpoint = converted();
  Architecture architecture = describe_architecture(take_gguf_as_family(checkpoint));
  const std::vector<NormSite> sites =
      fit_to_checkpoint(architecture, checkpoint, /*strict=*/true);  // nothing is left unread
  for (const NormSite& site : sites) EXPECT_EQ(site.weight_offset, 0.0) << site.name;
  const Json& zero = GetParam().at("zero");
  if (zero.is_null()) return;
  const auto site = std::find_if(sites.begin(), sites.end(), [&](const NormSite& candidate) {
    return candidate.weight == zero.at(0);
  });
  ASSERT_NE(site, sites.end());
  EXPECT_EQ(load_norm(checkpoint, *site).gamma.at(zero.at(1).get<std::size_t>()), 0.0);
}

std::vector<Json> fixtures() { return read_json(kModels / "index.json").get<std::vector<Json>>(); }

INSTANTIATE_TEST_SUITE_P(Fixtures, GgufFamilyTest, ::testing::ValuesIn(fixtures()),
                         [](const auto& fixture) {
                           std::string name = fixture.param.at("name");
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(GgufTableTest, HasAFixtureForEachArchitecture) {
  std::set<std::string> covered;
  for (const Json& fixture : fixtures()) {
    const fs::path file = kModels / (fixture.at("name").get<std::string>() + ".gguf");
    covered.insert(Json::parse(Checkpoint::open(file).metadata().at("general.architecture"))
                       .get<std::string>());
  }
  std::set<std::string> known;
  for (const GgufArchitecture& architecture : gguf_architectures())
    known.insert(std::string(architecture.name));
  EXPECT_EQ(covered, known);
}

/// A GGUF file of given keys and tensors, all of them zero.
class GgufModelTest : public ::testing::Test {
 protected:
  GgufModelTest() {
    say("general.architecture", "llama");
    for (const auto& [key, value] :
         std::map<std::string, std::uint32_t>{{"embedding_length", 8},
                                              {"block_count", 1},
                                              {"feed_forward_length", 12},
                                              {"attention.head_count", 2}})
      keys_["llama." + key] = test::gguf_key("llama." + key, 4, value);
    keys_["eps"] = test::gguf_key("llama.attention.layer_norm_rms_epsilon", 6, 1e-5F);
    tensors_ = {{"token_embd.weight", {8, 5}}, {"blk.0.attn_q.weight", {8, 8}}};
  }
  void say(const std::string& key, std::string_view value) {
    keys_[key] = test::gguf_string_key(key, value);
  }
  void say_list(const std::string& key, const std::vector<std::uint32_t>& values) {
    keys_[key] = test::gguf_array_key(key, 4, values.size(), test::bytes_of(values));
  }
  Checkpoint open() const {
    test::GgufFile file;
    for (const auto& [name, key] : keys_) file.keys.push_back(key);
    for (const auto& [name, extents] : tensors_) {
      file.tensors.push_back(test::gguf_tensor(name, extents, 0, file.data_bytes));
      std::uint64_t bytes = 4;
      for (const std::int64_t extent : extents) bytes *= static_cast<std::uint64_t>(extent);
      file.data_bytes += (bytes + 31) / 32 * 32;
    }
    return Checkpoint::open(folder_.write("m.gguf", file.bytes()));
  }
  Config take() const {
    Checkpoint checkpoint = open();
    return take_gguf_as_family(checkpoint);
  }
  std::string refusal(ExitCode code) const {
    return test::message_of(code, [&] { take(); });
  }

  test::TemporaryFolder folder_;
  std::map<std::string, std::string> keys_;
  std::map<std::string, std::vector<std::int64_t>> tensors_;
};

TEST_F(GgufModelTest, ReadsSizesFromKeysAndTensors) {
  const Config config = take();
  EXPECT_EQ(config.text("model_type"), "llama");
  EXPECT_EQ(config.integer("hidden_size"), 8);
  EXPECT_EQ(config.integer("vocab_size"), 5);
  EXPECT_EQ(config.integer("num_key_value_heads"), 2);  // as many as heads where nothing is said
  EXPECT_EQ(config.positive("rms_norm_eps"), 1e-5);     // not 9.99999974737875e-06
  EXPECT_TRUE(config.flag("tie_word_embeddings", false));
  EXPECT_EQ(config.path(), folder_ / "m.gguf");
}

TEST_F(GgufModelTest, NamesAKeyThatIsMissingOrNoSize) {
  keys_.erase("llama.block_count");
  EXPECT_TRUE(
      test::contains(refusal(ExitCode::malformed), "m.gguf: key 'llama.block_count' is missing"));
  keys_["llama.block_count"] = test::gguf_key("llama.block_count", 4, std::uint32_t{1} << 31);
  EXPECT_TRUE(
      test::contains(refusal(ExitCode::malformed), "key 'llama.block_count' is 2147483648"));
  say("llama.block_count", "two");
  EXPECT_TRUE(test::contains(refusal(ExitCode::malformed), "key 'llama.block_count' is \"two\""));
  keys_.erase("general.architecture");
  EXPECT_TRUE(test::contains(refusal(ExitCode::malformed), "'general.architecture' is missing"));
}

TEST_F(GgufModelTest, TakesAListThatRepeatsOneNumber) {
  say_list("llama.attention.head_count", {2, 2, 2});
  EXPECT_EQ(take().integer("num_attention_heads"), 2);
  say_list("llama.attention.head_count", {2, 4});
  const std::string message = refusal(ExitCode::unsupported);
  EXPECT_TRUE(test::contains(message, "key 'llama.attention.head_count' is"));
  EXPECT_TRUE(test::contains(message, "differs from block to block"));
}

TEST_F(GgufModelTest, RefusesWhatIsNoModel) {
  say("general.type", "adapter");
  say("adapter.type", "lora");
  EXPECT_TRUE(test::contains(refusal(ExitCode::unsupported), "an adapter (lora), no model"));
  keys_.erase("adapter.type");
  say("general.type", "mmproj");
  EXPECT_TRUE(test::contains(refusal(ExitCode::unsupported), "a projector for pictures"));
  say("general.type", "imatrix");
  EXPECT_TRUE(test::contains(refusal(ExitCode::unsupported), "'general.type' is 'imatrix'"));
  say("general.type", "model");
  say("general.architecture", "clip");
  EXPECT_TRUE(test::contains(refusal(ExitCode::unsupported), "a projector for pictures"));
  say("general.architecture", "llama");
  say("tokenizer.ggml.model", "gpt2");
  tensors_.clear();
  EXPECT_TRUE(test::contains(refusal(ExitCode::unsupported), "a vocabulary only"));
}

TEST_F(GgufModelTest, NamesTheArchitecturesThatItKnows) {
  say("general.architecture", "newcomer");
  const std::string message = refusal(ExitCode::unsupported);
  EXPECT_TRUE(test::contains(message, "general.architecture is 'newcomer'"));
  EXPECT_TRUE(test::contains(message, "bert, bloom, command-r, falcon"));
  EXPECT_FALSE(is_known_gguf(open()));
}

TEST_F(GgufModelTest, RefusesTensorsThatContradictTheKeys) {
  tensors_["blk.0.attn_q.weight"] = {8, 10};
  EXPECT_TRUE(
      test::contains(refusal(ExitCode::malformed), "tensor 'blk.0.attn_q.weight': shape [10, 8]"));
  tensors_["blk.0.attn_q.weight"] = {8, 8};
  tensors_["token_embd.weight"] = {40};
  EXPECT_TRUE(
      test::contains(refusal(ExitCode::malformed), "tensor 'token_embd.weight': shape [40]"));
  tensors_.erase("token_embd.weight");
  EXPECT_TRUE(test::contains(refusal(ExitCode::malformed), "no tensor 'token_embd.weight'"));
}

TEST_F(GgufModelTest, RefusesHeadsWithoutPairsToTurn) {
  keys_["width"] = test::gguf_key("llama.attention.key_length", 4, std::uint32_t{3});
  tensors_["blk.0.attn_q.weight"] = {8, 6};
  EXPECT_TRUE(test::contains(refusal(ExitCode::malformed), "a head of 3 dimensions has no pairs"));
}

TEST_F(GgufModelTest, TellsRotaryScalingsThatAreNotRun) {
  say("llama.rope.scaling.type", "yarn");
  EXPECT_TRUE(test::contains(describe_architecture(take()).not_run.at(0), "is 'yarn'"));
  keys_.erase("llama.rope.scaling.type");
  tensors_["rope_freqs.weight"] = {2};  // 0x11111111 each, which is no rule
  EXPECT_TRUE(test::contains(describe_architecture(take()).not_run.at(0), "rope_freqs.weight"));
}

}  // namespace
}  // namespace deadray
