#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/gguf_bytes.h"
#include "tests/support/hostile_text.h"
#include "tests/support/pickle_bytes.h"
#include "tests/support/small_model.h"
#include "tests/support/spawned.h"
#include "tests/support/zip_bytes.h"

// Whatever names a file holds, and whatever its own name is: nothing of it reaches the terminal as
// a command.
namespace deadray::test {
namespace {

class TerminalEscapesTest : public ::testing::Test {
 protected:
  /// Runs a command on the folder; both outputs must be harmless, and no line may be forged.
  int run(std::vector<std::string> arguments) {
    Spawned program(std::move(arguments));
    const int code = program.wait();
    output_ = program.output(), errors_ = program.errors();
    EXPECT_TRUE(is_harmless(output_));
    EXPECT_TRUE(is_harmless(errors_));
    for (const std::string* text : {&output_, &errors_})
      EXPECT_EQ(("\n" + *text).find("\nN"), std::string::npos) << "a forged line: " << *text;
    return code;
  }
  int predict(std::vector<std::string> more = {}) {
    more.insert(more.begin(), {"predict", folder_.path().string()});
    return run(std::move(more));
  }
  static SmallTensors renamed(const std::string& from, const std::string& to) {
    SmallTensors tensors = small_gpt2();
    auto node = tensors.extract(from);
    node.key() = to;
    tensors.insert(std::move(node));
    return tensors;
  }

  TemporaryFolder folder_;
  std::string output_, errors_;
};

TEST_F(TerminalEscapesTest, OfTensorNames) {
  SmallTensors tensors = small_gpt2();
  tensors[kHostile + ".norm.weight"] = random_tensor({8}, 1, 1.0F);
  tensors[kHostile] = random_tensor({8}, 1, 1.0F);
  write_small_gpt2(folder_.path(), tensors);
  EXPECT_EQ(predict(), 0);
  EXPECT_NE(errors_.find("\\x1b[31m"), std::string::npos) << "the note names them: " << errors_;
  EXPECT_EQ(predict({"--strict"}), 3);
  EXPECT_EQ(predict({"--site", kHostile}), 2);
  write_small_gpt2(folder_.path(), renamed("ln_f.weight", "ln_f.weigh" + kHostile));
  EXPECT_EQ(predict(), 3);
}

TEST_F(TerminalEscapesTest, OfNamesOfNormsInTableAndRecord) {
  const std::string norm = "layer." + kHostile + ".norm";
  write_tensors(folder_ / "model.safetensors", {{norm + ".weight", random_tensor({8}, 1, 1.0F)},
                                                {norm + ".bias", random_tensor({8}, 2)}});
  ASSERT_EQ(predict({"--norm", "layernorm"}), 0) << errors_;
  EXPECT_NE(output_.find("\\u009b2J"), std::string::npos) << output_;
  ASSERT_EQ(predict({"--norm", "layernorm", "--json", "-"}), 0) << errors_;
  EXPECT_EQ(nlohmann::json::parse(output_).at("sites").at(0).at("name"), norm)
      << "the record is the same to who reads it as JSON";
  EXPECT_EQ(
      run({"predict", folder_.path().string(), folder_.path().string(), "--norm", "layernorm"}), 0)
      << errors_;
}

TEST_F(TerminalEscapesTest, OfAConfiguration) {
  const std::vector<std::string> configs = {
      R"({"model_type": "HOSTILE"})",
      R"({"model_type": "gpt2", "n_embd": "HOSTILE"})",
      R"({"model_type": "gpt2", "HOSTILE": 1, "HOSTILE": 2})",
      R"({"model_type": "gpt2", HOSTILE})",
      R"({"model_type": "gpt2", "activation_function": "HOSTILE", "n_embd": 8, "n_head": 2,
          "n_layer": 1, "n_positions": 16, "vocab_size": 11, "architectures": ["HOSTILE"],
          "torch_dtype": "HOSTILE", "quantization_config": {"quant_method": "HOSTILE"}})",
      R"({"model_type": "vit", "image_size": ["HOSTILE", 3], "patch_size": ["a", "HOSTILE"]})",
      R"({"model_type": "opt", "pad_token_id": "HOSTILE", "hidden_size": 8})",
      R"({"model_type": "gemma4_text", "num_hidden_layers": 1, "layer_types": ["HOSTILE"]})",
  };
  for (std::string config : configs) {
    for (std::size_t at; (at = config.find("HOSTILE")) != config.npos;)
      config.replace(at, 7, kHostileInJson);
    write_small_gpt2(folder_.path(), small_gpt2(), config);
    predict();
    predict({"--json", "-"});
    predict({"--strict"});
  }
}

TEST_F(TerminalEscapesTest, OfAnIndexAndOfFileNames) {
  const std::string index = R"({"weight_map": {"HOSTILE": "HOSTILE.safetensors"}})";
  std::string text = index;
  for (std::size_t at; (at = text.find("HOSTILE")) != text.npos;)
    text.replace(at, 7, kHostileInJson);
  folder_.write("config.json", kSmallConfig);
  folder_.write("model.safetensors.index.json", text);
  EXPECT_EQ(predict(), 3);
  EXPECT_NE(errors_.find("is missing"), std::string::npos) << errors_;
  fs::remove(folder_ / "model.safetensors.index.json");
  std::string name = kHostile;  // a file name has no slashes
  std::replace(name.begin(), name.end(), '/', '_');
  for (const char* suffix : {".safetensors", "2.safetensors", ".gguf", ".npz", ".bin", ".onnx"}) {
    folder_.write(name + suffix, "x");
    predict();
    EXPECT_NE(errors_, "");
  }
  const fs::path inner = folder_ / name;
  fs::create_directory(inner);
  write_small_gpt2(inner);
  EXPECT_EQ(run({"predict", inner.string()}), 0) << errors_;
  EXPECT_EQ(run({"convert", inner.string(), (inner / "out").string()}), 0) << errors_;
  EXPECT_EQ(run({"predict", inner.string(), "--json", (inner / "a/b").string()}), 6) << errors_;
}

TEST_F(TerminalEscapesTest, OfPicklesAndArchives) {
  folder_.write("config.json", kSmallConfig);
  const fs::path file = folder_ / "pytorch_model.bin";
  const auto pickle = [&](const std::string& operations) {
    write_text(file, zip_of({{"a/data.pkl", pickled(operations)}, {"a/data/0", "1234"}}).bytes);
    predict();
    EXPECT_NE(errors_, "");
  };
  std::string line = kHostile;  // a global's name ends at its line end
  std::erase(line, '\n');
  pickle(pickled_global("os" + line, "system" + line));
  pickle("}" + pickled_text(kHostile) + pickled_tensor({}) + "s");
  pickle("}" + pickled_text(kHostile) + pickled_tensor({.type = "X" + line}) + "s");
  pickle("}" + pickled_text("a") + pickled_tensor({.key = kHostile}) + "s");
  write_text(file, zip_of({{kHostile + "/data.pkl", "x"}, {kHostile, "y"}}).bytes);
  predict();
  fs::remove(file);
  write_text(folder_ / "model.npz", zip_of({{kHostile + ".npy", "x"}}).bytes);
  EXPECT_EQ(predict(), 3);
}

TEST_F(TerminalEscapesTest, OfGgufKeysAndStrings) {
  const std::string shape =
      gguf_string_key("general.architecture", "llama") + gguf_string_key("x" + kHostile, kHostile);
  const std::vector<GgufFile> files = {
      {.keys = {gguf_string_key("general.architecture", kHostile)}},
      {.keys = {gguf_string_key("general.architecture", "llama"),
                gguf_string_key("llama.embedding_length", kHostile)}},
      {.keys = {gguf_string_key("general.architecture", "llama"),
                gguf_string_key(kHostile, kHostile), gguf_string_key(kHostile, kHostile)}},
      {.keys = {gguf_string_key("general.architecture", "llama"),
                gguf_string_key("split.count", kHostile)}},
      {.keys = {gguf_string_key("general.architecture", "llama")},
       .tensors = {gguf_tensor(kHostile + "_norm.weight", {8}, 0, 0)},
       .data_bytes = 32},
      {.keys = {gguf_string_key("general.architecture", kHostile)},
       .tensors = {gguf_tensor("output_norm.weight", {8}, 0, 0)},
       .data_bytes = 32},
  };
  for (const GgufFile& file : files) {
    write_text(folder_ / "model.gguf", file.bytes());
    predict();
    predict({"--json", "-"});
  }
}

TEST_F(TerminalEscapesTest, OfTheCommandLine) {
  EXPECT_EQ(run({"predict", kHostile}), 2);
  EXPECT_EQ(run({kHostile}), 2);
  EXPECT_EQ(run({"predict", "--" + kHostile}), 2);
  EXPECT_EQ(run({"predict", "x", "--tau", kHostile}), 2);
}

}  // namespace
}  // namespace deadray::test
