#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <string>
#include <vector>

#include "tests/support/gguf_bytes.h"
#include "tests/support/pickle_bytes.h"
#include "tests/support/sharded_model.h"
#include "tests/support/small_model.h"
#include "tests/support/spawned.h"
#include "tests/support/zip_bytes.h"

// Files that claim more than there is, or are larger than any real one: each ends at once with its
// line, in less memory than a small machine has.
namespace deadray::test {
namespace {

// In KiB. The address sanitizer reserves terabytes, and takes ten times as long.
#if defined(__SANITIZE_ADDRESS__)
constexpr const char* kAddressSpace = "unlimited";
constexpr int kManyValues = 330'000;
#else
constexpr const char* kAddressSpace = "524288";
constexpr int kManyValues = 3'300'000;
#endif
constexpr std::uint64_t kHuge = std::uint64_t{10} << 30;

class HostileSizesTest : public ::testing::Test {
 protected:
  HostileSizesTest() { write_small_gpt2(folder_.path()); }

  /// One line and this code within 512 MiB of address space.
  void expect_failure(int code, const std::string& part, const std::string& option = "-q") const {
    const auto start = std::chrono::steady_clock::now();
    Spawned run(
        {"-c", std::string("ulimit -v ") + kAddressSpace + "; exec \"$0\" predict \"$1\" $2",
         DEADRAY_BIN "/deadray", folder_.path().string(), option},
        -1, "/bin/sh");
    const std::string errors = run.errors();
    EXPECT_EQ(run.wait(), code) << errors;
    EXPECT_EQ(std::count(errors.begin(), errors.end(), '\n'), 1) << errors;
    EXPECT_NE(errors.find(part), std::string::npos) << "no '" << part << "' in: " << errors;
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20)) << part;
  }
  void make_huge(const std::string& name, const std::string& begin = "") const {
    folder_.write(name, begin);
    fs::resize_file(folder_ / name, kHuge);
  }
  void config_with(const std::string& key, const std::string& value) const {
    std::string config = kSmallConfig;
    const std::size_t at = config.find("\"" + key + "\": ") + key.size() + 4;
    config.replace(at, config.find_first_of(",}", at) - at, value);
    folder_.write("config.json", config);
  }

  TemporaryFolder folder_;
};

TEST_F(HostileSizesTest, OfAConfigurationsNumbers) {
  for (const char* key : {"n_embd", "n_head", "n_layer", "n_positions", "vocab_size"})
    for (const char* value : {"4611686018427387904", "1125899906842624", "1e30", "-1", "0"}) {
      config_with(key, value);
      expect_failure(3, std::string("key '") + key + "' is ");
    }
  config_with("n_layer", "10001");
  expect_failure(3, "expected an integer from 1 to 10000");
}

// Norms without a scale cost a file nothing; 300 bytes could ask for hours.
TEST_F(HostileSizesTest, OfNormsThatStoreNothing) {
  folder_.write("config.json",
                R"({"model_type": "olmo", "hidden_size": 1048576, "num_hidden_layers": 10000,
      "num_attention_heads": 1, "vocab_size": 2, "intermediate_size": 4})");
  folder_.write(
      "model.safetensors",
      safetensors(
          R"({"model.embed_tokens.weight":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}})"));
  expect_failure(3, "20972568576 values in the scales of its norms, expected at most 268435456");
}

TEST_F(HostileSizesTest, OfTextFiles) {
  make_huge("config.json", "{");
  expect_failure(3, "config.json: 10737418240 bytes, expected at most 10000000");
  write_small_gpt2(folder_.path());
  folder_.write("config.json", R"({"a": [)" + std::string(9'900'000, ' ') + "1]}");
  expect_failure(3, "key 'model_type' is missing");
  fs::remove(folder_ / "model.safetensors");
  write_small_gpt2(folder_.path());
  fs::remove(folder_ / "model.safetensors");
  make_huge("model.safetensors.index.json", "{");
  expect_failure(3, "index.json: 10737418240 bytes, expected at most 100000000");
}

// The most expensive text of ten million bytes: each "[]," is a value of its own.
TEST_F(HostileSizesTest, OfAConfigurationOfManyValues) {
  std::string text = "{\"a\": [";
  for (int i = 0; i < kManyValues; ++i) text += "[],";
  folder_.write("config.json", text + "1]}");
  expect_failure(3, "key 'model_type' is missing");
}

TEST_F(HostileSizesTest, OfDepth) {
  const std::size_t depth = 1'000'000;
  for (const auto& [open, close] : {std::pair("[", "]"), std::pair("{\"a\":", "}")}) {
    std::string text = "{\"a\":";
    for (std::size_t i = 0; i < depth; ++i) text += open;
    text += "1";
    for (std::size_t i = 0; i < depth; ++i) text += close;
    text += "}";
    folder_.write("config.json", text);
    expect_failure(3, "nested deeper than 100 levels");
    folder_.write("config.json", kSmallConfig);
    folder_.write("model.safetensors", safetensors(text));
    expect_failure(3, "model.safetensors: ");
    write_small_gpt2(folder_.path());
  }
}

TEST_F(HostileSizesTest, OfHeaders) {
  make_huge("model.safetensors", bytes_of(kHuge - 8));
  expect_failure(3, "header too large: 10737418232 bytes (limit 100 MB");
  make_huge("model.safetensors", bytes_of(~std::uint64_t{0}));
  expect_failure(3, "model.safetensors: ");
  fs::remove(folder_ / "model.safetensors");
  for (const auto& [tensors, keys] : {std::pair<std::int64_t, std::int64_t>{1LL << 40, 0},
                                      std::pair<std::int64_t, std::int64_t>{0, 1LL << 40}}) {
    GgufFile file;
    file.n_tensors = tensors, file.n_keys = keys;
    make_huge("model.gguf", file.bytes());
    expect_failure(3, "model.gguf: ");
  }
  make_huge("model.gguf",
            GgufFile{.keys = {gguf_text("k") + bytes_of(std::uint32_t{8}) + bytes_of(kHuge - 100)}}
                .bytes());
  expect_failure(3, "model.gguf: ");
}

TEST_F(HostileSizesTest, OfListsInHeaders) {
  fs::remove(folder_ / "model.safetensors");
  std::vector<std::string> keys;
  for (int i = 0; i <= 100'000; ++i) keys.push_back(gguf_key(std::to_string(i), 7, '\1'));
  folder_.write("model.gguf", GgufFile{.keys = keys}.bytes());
  expect_failure(3, "100001 keys, expected at most 100000");
  fs::remove(folder_ / "model.gguf");
  // One empty list, remembered over and over: one byte each.
  const std::string pickle = pickled("]" + std::string(5'000'000, '\x94'));
  folder_.write("pytorch_model.bin", zip_of({{"a/data.pkl", pickle}, {"a/data/0", "1234"}}).bytes);
  expect_failure(3, "remembers more than 4000000 values");
  folder_.write("pytorch_model.bin",
                zip_of({{"a/data.pkl", pickled(std::string(5'000'000, ']'))}}).bytes);
  expect_failure(3, "more than 4000000 values wait on its stack");
}

// Compressed members, which unpack to anything, are not unpacked at all.
TEST_F(HostileSizesTest, OfCompressedArchives) {
  for (const char* name : {"pytorch_model.bin", "model.npz"}) {
    fs::remove(folder_ / "model.safetensors");
    const bool is_npz = std::string(name) == "model.npz";
    ZipBytes zip = zip_of({{is_npz ? "a.npy" : "a/data.pkl", std::string(100, 'x')}});
    for (const std::size_t at : {zip.local[0] + 8, zip.central[0] + 10})
      zip.set<std::uint16_t>(at, 8);  // deflated
    zip.set<std::uint32_t>(zip.local[0] + 22, 0xF0000000)
        .set<std::uint32_t>(zip.central[0] + 24, 0xF0000000);
    folder_.write(name, zip.bytes);
    expect_failure(4, "is compressed (4026531840 bytes out of 100)");
    fs::remove(folder_ / name);
  }
}

TEST_F(HostileSizesTest, OfArrays) {
  folder_.write("model.safetensors",
                safetensors(R"({"h.0.ln_1.weight":{"dtype":"F32","shape":[4294967296,4294967296],
                  "data_offsets":[0,0]}})"));
  expect_failure(3, "h.0.ln_1.weight");
  // Sparse: the shape is true, and the file has that many bytes.
  const std::string count = std::to_string((kHuge - 200) / 4), bytes = std::to_string(kHuge - 200);
  std::string head = R"({"h.0.ln_1.weight":{"dtype":"F32","shape":[)" + count +
                     R"(],"data_offsets":[0,)" + bytes + "]}}";
  head.resize(192, ' ');
  make_huge("model.safetensors", safetensors(head));
  expect_failure(3, "h.0.ln_1.weight");
  // Without a configuration that says otherwise, a norm is as wide as its scale.
  fs::remove(folder_ / "config.json");
  expect_failure(3, count + " values in the scales of its norms", "--norm=layernorm");
}

}  // namespace
}  // namespace deadray::test
