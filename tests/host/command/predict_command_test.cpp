#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "host/base/error.h"
#include "host/formats/checkpoint.h"
#include "tests/support/small_model.h"
#include "tests/support/spawned.h"

namespace deadray::test {
namespace {

/// `deadray predict` on small models; each test has a folder of its own.
class PredictCommandTest : public ::testing::Test {
 protected:
  std::string model() const { return folder_.path().string(); }

  nlohmann::json record(std::vector<std::string> arguments = {}) {
    arguments.insert(arguments.begin(), {"predict", model(), "--json", "-"});
    Spawned run(std::move(arguments));
    EXPECT_EQ(run.wait(), 0) << run.errors();
    return nlohmann::json::parse(run.output());
  }

  TemporaryFolder folder_;
};

TEST_F(PredictCommandTest, KeepsDataOnStandardOutputAndMessagesOnStandardError) {
  write_small_gpt2(model());
  Spawned table({"predict", model()});
  EXPECT_EQ(table.wait(), 0);
  EXPECT_EQ(table.errors(), "");
  for (const char* name : {"h.0.ln_1", "h.0.ln_2", "ln_f"})
    EXPECT_NE(table.output().find(name), std::string::npos) << table.output();
  EXPECT_EQ(table.output().find('\033'), std::string::npos) << "no colour into a file";
  Spawned quiet({"predict", model(), "--quiet"});
  EXPECT_EQ(quiet.output() + quiet.errors(), "");
  EXPECT_EQ(quiet.wait(), 0);
}

TEST_F(PredictCommandTest, RecordHoldsEverySiteAndTheTotals) {
  write_small_gpt2(model());
  const auto r = record();
  EXPECT_EQ(r["schema"], "deadray/predict/1");
  EXPECT_EQ(r["model"]["family"], "gpt2");
  ASSERT_EQ(r["sites"].size(), 3U);
  EXPECT_EQ(r["totals"]["dead_directions"], 3);
  // q|k|v 3d and the MLP's 4d outputs, both with bias; the head is tied to the embedding.
  EXPECT_EQ(r["totals"]["dead_parameter_directions"], 7 * kSmallWidth);
  EXPECT_EQ(r["totals"]["llc_lowering"], 3.5 * kSmallWidth);
  const auto& site = r["sites"][0];
  EXPECT_EQ(site["norm"], "layernorm");
  EXPECT_EQ(site["hidden_size"], kSmallWidth);
  EXPECT_EQ(site["predicted"]["dimension"], 1);
  const SmallTensors tensors = small_gpt2();
  double constant = 0, magnitude = 0;
  for (std::size_t i = 0; i < 8; ++i) {
    const double quotient = static_cast<double>(tensors.at("h.0.ln_1.bias").values[i]) /
                            tensors.at("h.0.ln_1.weight").values[i];
    constant += quotient;
    magnitude += std::abs(quotient);
  }
  EXPECT_NEAR(site["predicted"]["constant"].get<double>(), constant,
              16 * 0x1p-53 * magnitude);  // a sum of 8 quotients, twice
  EXPECT_EQ(r["sites"][2]["consumers"][0]["family"], "none");
  EXPECT_GT(r["bytes_read"], 0);
}

TEST_F(PredictCommandTest, NamesTheFolderWhateverPathLeadsThere) {
  write_small_gpt2(model());
  const std::string name = folder_.path().filename().string();
  for (const std::string& path : {model(), model() + "/", model() + "/."}) {
    Spawned run({"predict", path, "--json", "-"});
    EXPECT_EQ(nlohmann::json::parse(run.output())["model"]["name"], name) << path;
  }
}

TEST_F(PredictCommandTest, CountsParametersAsTheConfigurationDescribesThem) {
  write_small_gpt2(model());
  // 11 tokens and 16 positions of width 8; two norms, q|k|v, out and an MLP of width 32, all with
  // biases; the final norm.
  EXPECT_EQ(record()["model"]["parameters"],
            27 * 8 + 2 * 16 + (8 * 24 + 24) + (8 * 8 + 8) + (8 * 32 + 32) + (32 * 8 + 8) + 16);
  write_text(folder_ / "config.json", "{\"model_type\": \"something_new\"}");
  EXPECT_TRUE(record({"--norm", "layernorm"})["model"]["parameters"].is_null());
}

TEST_F(PredictCommandTest, ChoosesSites) {
  write_small_gpt2(model());
  EXPECT_EQ(record({"--site", "final"})["sites"][0]["name"], "ln_f");
  EXPECT_EQ(record({"--site", "h.0.ln_2"})["sites"].size(), 1U);
  expect_failure(ExitCode::usage, {"predict", model(), "--site", "h.0.ln_3"}, {"h.0.ln_3", "ln_1"});
}

TEST_F(PredictCommandTest, WritesTheDirections) {
  write_small_gpt2(model());
  const auto file = folder_ / "directions.safetensors";
  record({"--directions", file.string()});
  const Checkpoint directions = Checkpoint::open(file);
  ASSERT_EQ(directions.tensors().size(), 3U);
  const std::vector<double> v = directions.read_fp64(directions.at("ln_f"));
  const auto gamma = small_gpt2().at("ln_f.weight").values;
  double square = 0;
  for (std::size_t i = 0; i < v.size(); ++i) {
    square += v[i] * v[i];
    // 1/gamma takes 4 roundings, its scaling one, the product with gamma one; twice these and the
    // quotient: 13.
    EXPECT_NEAR(v[i] * gamma[i] / (v[0] * gamma[0]), 1.0, 13 * 0x1p-53);
  }
  // The norm's square takes 8 roundings, its root and reciprocal and the scaling 3, which squaring
  // doubles; the squares and their sum 8: 22.
  EXPECT_NEAR(square, 1.0, 22 * 0x1p-53);
}

TEST_F(PredictCommandTest, WritesNoDirectionWhereThereIsNone) {
  write_tensors(folder_ / "model.safetensors",
                {{"model.norm.weight", random_tensor({8}, 1, 1.0F)}});
  const auto file = folder_ / "directions.safetensors";
  record({"--norm", "rmsnorm", "--directions", file.string()});
  EXPECT_TRUE(Checkpoint::open(file).tensors().empty());
}

TEST_F(PredictCommandTest, SaysPlainlyThatAnRmsNormHasNone) {
  write_tensors(folder_ / "model.safetensors",
                {{"model.norm.weight", random_tensor({8}, 1, 1.0F)}});
  Spawned run({"predict", model(), "--norm", "rmsnorm"});
  EXPECT_EQ(run.wait(), 0) << run.errors();
  EXPECT_NE(run.output().find("no dead direction predicted"), std::string::npos) << run.output();
  EXPECT_NE(run.errors().find("no config.json"), std::string::npos) << run.errors();
}

TEST_F(PredictCommandTest, ReportsZerosAsASubspaceAndNoError) {
  SmallTensors tensors = small_gpt2();
  tensors["ln_f.weight"].values[2] = tensors["ln_f.weight"].values[5] = 0.0F;
  write_small_gpt2(model(), tensors);
  const auto site = record({"--site", "final"})["sites"][0];
  EXPECT_EQ(site["predicted"]["dimension"], 2);
  EXPECT_EQ(site["predicted"]["coordinates"], (std::vector<int>{2, 5}));
  EXPECT_TRUE(site["predicted"]["constant"].is_null());
}

TEST_F(PredictCommandTest, EvaluatesSubnormalScales) {
  SmallTensors tensors = small_gpt2();
  for (float& x : tensors["ln_f.weight"].values) x *= 1e-40F;
  write_small_gpt2(model(), tensors);
  const auto site = record({"--site", "final"})["sites"][0];
  EXPECT_EQ(site["predicted"]["dimension"], 1);
  EXPECT_TRUE(site["predicted"]["constant"].is_number());
}

TEST_F(PredictCommandTest, TellsOfWhichNormsTheNumbersComeToAnEdge) {
  SmallTensors tensors = small_gpt2();
  tensors["h.0.ln_1.weight"].values[3] = tensors["ln_f.weight"].values[0] = 1e-40F;
  write_small_gpt2(model(), tensors);
  const auto notes = record()["notes"];
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_EQ(
      notes[0].get<std::string>().find("h.0.ln_1, ln_f: gamma holds numbers that are subnormal"),
      0U)
      << notes;
}

TEST_F(PredictCommandTest, SaysWhereAModelOfTheHubCameFrom) {
  write_small_gpt2(model());
  EXPECT_TRUE(record()["model"]["hub"].is_null());
  const auto snapshot = folder_ / "models--org--name" / "snapshots" / std::string(40, 'a');
  std::filesystem::create_directories(snapshot);
  write_small_gpt2(snapshot);
  Spawned run({"predict", snapshot.string(), "--json", "-"});
  const auto of_hub = nlohmann::json::parse(run.output())["model"];
  EXPECT_EQ(of_hub["name"], "name");
  EXPECT_EQ(of_hub["hub"]["repository"], "org/name");
  EXPECT_EQ(of_hub["hub"]["commit"], std::string(40, 'a'));
}

TEST_F(PredictCommandTest, NamesScalesThatAreNotFinite) {
  SmallTensors tensors = small_gpt2();
  tensors["h.0.ln_2.weight"].values[3] = std::nanf("");
  tensors["h.0.ln_2.weight"].values[7] = INFINITY;
  write_small_gpt2(model(), tensors);
  expect_failure(ExitCode::malformed, {"predict", model()},
                 {"model.safetensors: tensor 'h.0.ln_2.weight'", "2 of 8", "index 3", "nan"});
}

TEST_F(PredictCommandTest, NamesNormsOfAnotherShape) {
  for (const std::vector<std::int64_t>& shape : {std::vector<std::int64_t>{2, 4}, {0}, {}, {9}}) {
    SmallTensors tensors = small_gpt2();
    tensors["ln_f.weight"] = random_tensor(shape, 1);
    write_small_gpt2(model(), tensors);
    expect_failure(ExitCode::malformed, {"predict", model()}, {"ln_f.weight", "shape", "8"});
  }
}

TEST_F(PredictCommandTest, NamesWhatTheConfigurationLacks) {
  write_tensors(folder_ / "model.safetensors", small_gpt2());
  expect_failure(ExitCode::malformed, {"predict", model()}, {"config.json"});
  write_text(folder_ / "config.json", "{\"model_type\": ");
  expect_failure(ExitCode::malformed, {"predict", model()}, {"config.json"});
  write_text(folder_ / "config.json", "{\"model_type\": \"gtp2\"}");
  expect_failure(ExitCode::unsupported, {"predict", model()}, {"gtp2", "gpt2", "--norm"});
  std::string narrow = kSmallConfig;
  narrow.replace(narrow.find("\"n_embd\": 8"), 11, "\"n_embd\": 6");
  write_text(folder_ / "config.json", narrow);
  expect_failure(ExitCode::malformed, {"predict", model()}, {"8", "6"});
}

TEST_F(PredictCommandTest, TakesTheUsersWordForAnUnknownFamily) {
  write_small_gpt2(model(), small_gpt2(), "{\"model_type\": \"something_new\"}");
  Spawned run({"predict", model(), "--norm", "layernorm"});
  EXPECT_EQ(run.wait(), 0) << run.errors();
  EXPECT_NE(run.errors().find("something_new"), std::string::npos);
  EXPECT_EQ(record({"--norm", "layernorm"})["totals"]["dead_directions"], 3);
  const auto plain = record({"--norm", "layernorm"})["sites"][0]["gamma"]["min"].get<double>();
  const auto shifted = record({"--norm", "layernorm1p"})["sites"][0]["gamma"];
  EXPECT_EQ(shifted["min"].get<double>(), plain + 1.0);
  EXPECT_EQ(shifted["offset"], 1);
  expect_failure(ExitCode::usage, {"predict", model(), "--norm", "batchnorm"},
                 {"--norm", "batchnorm"});
}

TEST_F(PredictCommandTest, TakesTheUsersWordAgainstAKnownFamily) {
  write_small_gpt2(model());
  const auto overridden = record({"--norm", "rmsnorm"});
  EXPECT_EQ(overridden["totals"]["dead_directions"], 0);
  EXPECT_EQ(overridden["notes"][0],
            "--norm rmsnorm overrides what the family gpt2 says of its norms");
  EXPECT_FALSE(overridden["sites"][0]["consumers"].empty()) << "the family still says who reads it";
  const auto agreed = record({"--norm", "layernorm"});
  EXPECT_EQ(agreed["totals"]["dead_directions"], 3);
  EXPECT_EQ(agreed["notes"][0], "--norm layernorm not needed: the family gpt2 says so");
}

TEST_F(PredictCommandTest, TakesTheUsersWordAgainstTheCatalogueOfModelTypes) {
  write_small_gpt2(model(), small_gpt2(), "{\"model_type\": \"gpt-sw3\"}");
  const auto overridden = record({"--norm", "rmsnorm"});
  EXPECT_EQ(overridden["totals"]["dead_directions"], 0);
  const std::string notes = overridden["notes"].dump();
  EXPECT_NE(notes.find("--norm rmsnorm overrides what the catalogue of model types says"),
            std::string::npos)
      << notes;
  EXPECT_EQ(notes.find("model_type 'gpt-sw3' unknown"), std::string::npos) << notes;
}

TEST_F(PredictCommandTest, PredictsWhatItWouldNotRun) {
  std::string config = kSmallConfig;
  config.insert(1, "\"add_cross_attention\": true, ");
  write_small_gpt2(model(), small_gpt2(), config);
  const auto r = record({});
  EXPECT_EQ(r["totals"]["dead_directions"], 3);
  EXPECT_NE(r["notes"][0].get<std::string>().find("add_cross_attention is true"), std::string::npos)
      << r["notes"];
}

TEST_F(PredictCommandTest, TakesTheUsersWordWhereNoTypeIsGiven) {
  write_small_gpt2(model(), small_gpt2(), "{\"hidden_size\": 8}");
  expect_failure(ExitCode::malformed, {"predict", model()},
                 {"model_type", "missing", "--norm layernorm|rmsnorm"});
  const auto r = record({"--norm", "layernorm", "--site", "final"});
  EXPECT_EQ(r["sites"][0]["name"], "ln_f");
  EXPECT_NE(r["notes"][0].get<std::string>().find("config.json has no model_type"),
            std::string::npos)
      << r["notes"];
  write_text(folder_ / "config.json", "{\"model_type\": 5}");
  expect_failure(ExitCode::malformed, {"predict", model(), "--norm", "layernorm"},
                 {"model_type", "expected a string"});
}

TEST_F(PredictCommandTest, AsksForANameWhereNamesDoNotTellTheFinalNorm) {
  write_tensors(folder_ / "model.safetensors",
                {{"layers.0.norm.weight", random_tensor({8}, 1, 1.0F)},
                 {"layers.1.norm.weight", random_tensor({8}, 2, 1.0F)}});
  expect_failure(ExitCode::usage, {"predict", model(), "--norm", "layernorm", "--site", "final"},
                 {"--site NAME", "2 names", "layers.0.norm", "layers.1.norm"});
}

TEST_F(PredictCommandTest, TellsTensorsThatTheConfigurationDoesNotDescribe) {
  SmallTensors tensors = small_gpt2();
  tensors["h.1.ln_1.weight"] = random_tensor({8}, 1, 1.0F);
  write_small_gpt2(model(), tensors);
  Spawned run({"predict", model(), "--json", (folder_ / "record.json").string()});
  EXPECT_EQ(run.wait(), 0) << run.errors();
  EXPECT_NE(run.errors().find("one tensor is left out, of which config.json says nothing: "
                              "h.1.ln_1.weight; the weights have more blocks"),
            std::string::npos)
      << run.errors();
  const auto r = nlohmann::json::parse(read_text(folder_ / "record.json"));
  ASSERT_EQ(r["notes"].size(), 1U);
  EXPECT_EQ(r["sites"].size(), 3U);
  expect_failure(ExitCode::malformed, {"predict", model(), "--strict"}, {"h.1.ln_1"});
}

TEST_F(PredictCommandTest, NamesWhatIsWrongWithAFolder) {
  expect_failure(ExitCode::unsupported, {"predict", model()}, {model()});
  write_text(folder_ / "adapter_config.json", "{}");
  write_tensors(folder_ / "adapter_model.safetensors",
                {{"base.lora_A.weight", random_tensor({2, 2}, 1)}});
  expect_failure(ExitCode::unsupported, {"predict", model()}, {"base model"});
}

TEST_F(PredictCommandTest, NamesWhatIsWrongWithAnIndex) {
  const auto index = folder_ / "model.safetensors.index.json";
  write_text(folder_ / "config.json", kSmallConfig);
  write_text(index, R"({"weight_map": {"ln_f.weight": "model-00001-of-00002.safetensors"}})");
  expect_failure(ExitCode::malformed, {"predict", model()}, {"model-00001-of-00002.safetensors"});
  write_tensors(folder_ / "model-00001-of-00002.safetensors",
                {{"wte.weight", random_tensor({11, 8}, 1)}});
  expect_failure(ExitCode::malformed, {"predict", model()},
                 {"ln_f.weight", "model-00001-of-00002.safetensors"});
  write_text(index, R"({"weight_map": {"ln_f.weight": "../secret.safetensors"}})");
  expect_failure(ExitCode::malformed, {"predict", model()}, {"../secret.safetensors", "unsafe"});
  write_text(index, R"({"metadata": {}})");
  expect_failure(ExitCode::malformed, {"predict", model()}, {"weight_map"});
}

TEST_F(PredictCommandTest, ChecksThePlaceOfTheRecordBeforeTheWork) {
  // The model does not exist either: what is said is what was looked at first.
  expect_failure(ExitCode::resources,
                 {"predict", "/nowhere", "--json", "/no/such/folder/record.json"},
                 {"/no/such/folder"});
  write_small_gpt2(model());
  expect_failure(ExitCode::resources, {"predict", model(), "--json", "/proc/record.json"},
                 {"/proc/record.json"});
  EXPECT_EQ(Spawned({"predict", model(), "--json", (folder_ / "record.json").string()}).wait(), 0);
  EXPECT_EQ(nlohmann::json::parse(read_text(folder_ / "record.json"))["schema"],
            "deadray/predict/1");
}

/// Containers of the same weights: all but names, notes, sizes and times is the same.
TEST(PredictContainersTest, GivesOneRecordWhateverTheContainer) {
  const auto record_of = [](const std::string& model) {
    Spawned run({"predict", model, "--site", "all", "--json", "-"});
    EXPECT_EQ(run.wait(), 0) << run.errors();
    auto record = nlohmann::json::parse(run.output());
    record["model"].erase("name");
    for (const char* key : {"bytes_read", "seconds", "notes", "command"}) record.erase(key);
    return record;
  };
  const std::string fixtures = DEADRAY_FIXTURES;
  for (const auto& [found, expected] :
       {std::pair{"containers/pytorch/gpt2-tied", "gpt2-tied"},
        {"containers/pytorch/gpt2-tied/pytorch_model.bin", "gpt2-tied"},
        {"containers/pytorch/gpt2-shards", "gpt2-tied"},
        {"containers/pytorch/gpt2-shards/pytorch_model.bin.index.json", "gpt2-tied"},
        {"containers/pytorch/bert-pooler", "bert-pooler"},
        {"containers/numpy/gpt2-tied", "gpt2-tied"}})
    EXPECT_EQ(record_of(fixtures + "/" + found), record_of(fixtures + "/models/" + expected))
        << found;
}

}  // namespace
}  // namespace deadray::test
