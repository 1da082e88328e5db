#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "host/formats/checkpoint.h"
#include "tests/support/small_model.h"
#include "tests/support/spawned.h"

// `deadray verify` as a user runs it, on the fixtures and on activation files that the tests write.
namespace deadray::test {
namespace {

const std::string kModels = DEADRAY_FIXTURES "/models/";

class VerifyCommandTest : public testing::Test {
 protected:
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }

  nlohmann::json record(std::vector<std::string> arguments, int expected_code = 0) {
    arguments.insert(arguments.begin(), "verify");
    arguments.insert(arguments.end(), {"--json", "-"});
    Spawned run(std::move(arguments));
    EXPECT_EQ(run.wait(), expected_code) << run.errors();
    return nlohmann::json::parse(run.output());
  }

  void expect_failure(int code, std::vector<std::string> arguments,
                      const std::vector<std::string>& parts) {
    arguments.insert(arguments.begin(), "verify");
    test::expect_failure(static_cast<ExitCode>(code), std::move(arguments), parts);
  }

  /// Rows of a LayerNorm or RMSNorm output made in double, stored as float32.
  std::string write_activations(const std::string& tensor, std::int64_t rows, bool subtract_mean,
                                bool bias = true) {
    constexpr std::int64_t d = 8;
    SmallTensors tensors;
    tensors["weight"] = random_tensor({d}, 1, 1.0F);
    if (bias) tensors["bias"] = random_tensor({d}, 2);
    SmallTensor x = random_tensor({rows, d}, 3, 0.05F);
    if (tensor == "output")
      for (std::int64_t row = 0; row < rows; ++row) {
        float* values = x.values.data() + row * d;
        double mean = 0, squares = 0;
        for (int i = 0; i < d; ++i) mean += subtract_mean ? values[i] / 8.0 : 0.0;
        for (int i = 0; i < d; ++i) squares += (values[i] - mean) * (values[i] - mean) / 8.0;
        for (int i = 0; i < d; ++i)
          values[i] = static_cast<float>(tensors["weight"].values[i] * (values[i] - mean) /
                                             std::sqrt(squares) +
                                         (bias ? tensors["bias"].values[i] : 0.0F));
      }
    tensors[tensor] = std::move(x);
    write_tensors(folder_.path() / "activations.safetensors", tensors);
    return path("activations.safetensors");
  }

  TemporaryFolder folder_;
};

TEST_F(VerifyCommandTest, ConfirmsEveryLayerNormOfTheFixtures) {
  for (const char* name : {"gpt2-tied", "gpt2-untied", "bert-pooler", "bert-masked-lm"})
    for (const auto& site :
         record({kModels + name, "--site", "all", "--random-tokens", "300"}).at("sites")) {
      EXPECT_EQ(site.at("verdict"), "confirmed") << name << " " << site.dump();
      EXPECT_GE(site.at("exact").at("abs_cos").get<double>(), 0.9999)
          << name << " " << site.at("name");
      EXPECT_GE(site.at("deployed").at("abs_cos").get<double>(), 0.9999)
          << name << " " << site.at("name");
    }
}

TEST_F(VerifyCommandTest, KeepsTheSpectrumAndTheRangeOfTheScalesForPictures) {
  const auto site = record({kModels + "gpt2-tied"}).at("sites")[0];
  const auto& spectrum = site.at("spectrum");
  const auto last = site.at("hidden_size").get<std::int64_t>() - 1;
  EXPECT_EQ(spectrum.at("index").back(), last);
  for (const char* reading : {"exact", "deployed"}) {
    ASSERT_EQ(spectrum.at(reading).size(), spectrum.at("index").size());
    const double largest = site.at(reading).at("eigenvalues").at("last");
    EXPECT_NEAR(spectrum.at(reading).back().get<double>(), largest, 1e-3 * largest)
        << "four significant digits";
  }
  EXPECT_GT(site.at("gamma").at("max"), site.at("gamma").at("min"));
  EXPECT_TRUE(record({kModels + "gpt2-tied", "--method", "certificate"})
                  .at("sites")[0]
                  .at("spectrum")
                  .is_null());
}

TEST_F(VerifyCommandTest, FindsNoDeadDirectionInRmsNorms) {
  for (const auto& site :
       record({kModels + "llama-gqa-tied", "--site", "all", "--random-tokens", "600"})
           .at("sites")) {
    EXPECT_EQ(site.at("verdict"), "absent") << site.dump();
    EXPECT_EQ(site.at("predicted").at("dimension"), 0);
    EXPECT_EQ(site.at("exact").at("dimension"), 0);
    EXPECT_FALSE(site.at("exact").at("chance_p").is_null());
  }
}

TEST_F(VerifyCommandTest, ConfirmsWithEveryMethodAndAtRandomInitialisation) {
  for (const char* method : {"eigh", "certificate", "directional"})
    for (const char* init : {"checkpoint", "random"})
      EXPECT_EQ(record({kModels + "gpt2-tied", "--method", method, "--init", init})
                    .at("sites")[0]
                    .at("verdict"),
                "confirmed")
          << method << " " << init;
}

TEST_F(VerifyCommandTest, NeedsOnlyTheConfigurationForRandomInitialisation) {
  write_text(folder_.path() / "config.json", kSmallConfig);
  const auto result = record({folder_.path().string(), "--init", "random", "--residual"});
  EXPECT_EQ(result.at("sites")[0].at("verdict"), "confirmed");
  EXPECT_EQ(result.at("residual").at("uncentred").size(), 2U);
}

// BLOOM's embeddings pass a LayerNorm: node 0 has no ratio, and the text does not call it the
// embeddings.
TEST_F(VerifyCommandTest, LeavesALayerNormsOutputOutOfTheResidualStream) {
  const std::vector<std::string> arguments = {kModels + "bloom-four-heads", "--residual",
                                              "--random-tokens", "300"};
  const auto residual = record(arguments).at("residual");
  EXPECT_EQ(residual.at("excluded"), nlohmann::json({0}));
  EXPECT_EQ(residual.at("reference"), 1);
  EXPECT_TRUE(residual.at("ratio").at(0).is_null());
  EXPECT_EQ(residual.at("ratio").at(1), 1.0);
  EXPECT_TRUE(residual.at("steps").at(0).is_null() && residual.at("steps").at(1).is_null());
  EXPECT_TRUE(residual.at("steps").at(2).is_number());
  std::vector<std::string> words = arguments;
  words.insert(words.begin(), "verify");
  Spawned run(words);
  EXPECT_NE(run.output().find("over that of node 1"), std::string::npos) << run.output();
  EXPECT_EQ(run.output().find("embeddings"), std::string::npos) << run.output();
}

TEST_F(VerifyCommandTest, GivesTheSameRecordTwice) {
  const auto strip = [](nlohmann::json value) {
    value.erase("seconds");
    value.erase("environment");
    return value;
  };
  const std::vector<std::string> arguments = {kModels + "gpt2-untied", "--site", "all",
                                              "--residual"};
  EXPECT_EQ(strip(record(arguments)), strip(record(arguments)));
}

TEST_F(VerifyCommandTest, IsUndeterminedWithFewerTokensThanDimensions) {
  const auto result = record({kModels + "gpt2-tied", "--batch", "1", "--sequence-length", "10"}, 8);
  EXPECT_EQ(result.at("sites")[0].at("verdict"), "undetermined");
  EXPECT_NE(result.at("sites")[0].at("reason").get<std::string>().find("tokens"),
            std::string::npos);
}

// In bfloat16 the exact reading is untouched; the deployed one shows the variance that rounding the
// output leaves along v*, within the factor 4 between a number at the bottom of its binade and one
// at the top.
TEST_F(VerifyCommandTest, SeesTheRoundingOfBfloat16InTheDeployedReadingAlone) {
  const auto site = record({kModels + "gpt2-tied", "--dtype", "bfloat16"}).at("sites")[0];
  EXPECT_EQ(site.at("verdict"), "confirmed") << site.at("reason");
  const double exact = site.at("exact").at("lambda_v"),
               deployed = site.at("deployed").at("lambda_v");
  const double expected = site.at("predicted").at("deployed_floor"),
               mean = site.at("deployed").at("eigenvalues").at("mean");
  EXPECT_LT(exact, 1e-28 * mean);  // (d u)^2 of FP64
  EXPECT_GT(deployed, expected / 4);
  EXPECT_LT(deployed, expected * 4);
}

TEST_F(VerifyCommandTest, RefusesQuantisedWeightsByFileAndTensor) {
  const auto write_as = [&](const std::string& tensor) {  // the same bytes, said to be integers
    std::string bytes = read_text(folder_.path() / "model.safetensors");
    const std::size_t entry = bytes.find("\"F32\"", bytes.find('"' + tensor + '"'));
    ASSERT_NE(entry, std::string::npos);
    write_text(folder_.path() / "model.safetensors", bytes.replace(entry, 5, "\"I32\""));
  };
  write_small_gpt2(folder_.path());
  write_as("wte.weight");
  expect_failure(4, {folder_.path().string()}, {"model.safetensors", "wte.weight", "I32"});
  std::filesystem::rename(write_activations("input", 200, true),
                          folder_.path() / "model.safetensors");
  write_as("input");
  expect_failure(4, {"--activations", path("model.safetensors")},
                 {"model.safetensors", "'input'", "I32"});
}

TEST_F(VerifyCommandTest, DumpsWhatTheDesignNames) {
  record({kModels + "gpt2-tied", "--dump", path("dump.safetensors"), "--dump-logits", "--batch",
          "2", "--sequence-length", "15"});
  const Checkpoint dump = Checkpoint::open(path("dump.safetensors"));
  for (const char* name : {"residual.0", "residual.3", "final_norm.output"})
    EXPECT_EQ(dump.at(name).shape, (std::vector<std::int64_t>{30, 24})) << name;
  EXPECT_EQ(dump.at("logits").shape, (std::vector<std::int64_t>{30, 61}));
}

TEST_F(VerifyCommandTest, RefusesToDumpLogitsOfAModelWithoutAHead) {
  const auto refuse = [&](const std::string& model, const char* init) {
    expect_failure(4, {model, "--init", init, "--dump", path("dump.safetensors"), "--dump-logits"},
                   {"--dump-logits", "no head"});
  };
  refuse(kModels + "llama-headless", "checkpoint");
  refuse(kModels + "bert-pooler", "random");
  EXPECT_FALSE(std::filesystem::exists(path("dump.safetensors")));
  record(
      {kModels + "llama-headless", "--random-tokens", "300", "--dump", path("dump.safetensors")});
}

TEST_F(VerifyCommandTest, ConfirmsActivationsOfALayerNorm) {
  const auto from_input = record({"--activations", write_activations("input", 200, true)});
  EXPECT_EQ(from_input.at("sites")[0].at("verdict"), "confirmed");
  const auto from_output = record({"--activations", write_activations("output", 200, true)});
  EXPECT_EQ(from_output.at("sites")[0].at("verdict"), "confirmed")
      << from_output.at("sites")[0].at("reason");
  EXPECT_TRUE(from_output.at("sites")[0].at("exact").is_null());
}

// The negative control: rows that never lost their mean are no LayerNorm's, and saying they are
// must be refuted (exit 1).
TEST_F(VerifyCommandTest, RefutesALayerNormThatIsNone) {
  EXPECT_EQ(record({"--activations", write_activations("output", 200, false)}, 1)
                .at("sites")[0]
                .at("verdict"),
            "refuted");
}

// gamma - 1 in place of gamma, as Gemma stores it: the exact reading would be of a norm that the
// model does not have.
TEST_F(VerifyCommandTest, RefusesAnOutputThatIsNotTheNormOfItsInput) {
  constexpr std::int64_t d = 8, rows = 200;
  SmallTensors tensors = {{"weight", random_tensor({d}, 1, 1.0F)},
                          {"bias", random_tensor({d}, 2)},
                          {"input", random_tensor({rows, d}, 3)}};
  tensors["output"] = tensors["input"];
  for (std::int64_t row = 0; row < rows; ++row) {
    float* values = tensors["output"].values.data() + row * d;
    double mean = 0, variance = 0;
    for (int i = 0; i < d; ++i) mean += values[i] / 8.0;
    for (int i = 0; i < d; ++i) variance += (values[i] - mean) * (values[i] - mean) / 8.0;
    for (int i = 0; i < d; ++i)
      values[i] = static_cast<float>(tensors["weight"].values[i] * (values[i] - mean) /
                                         std::sqrt(variance + 1e-5) +
                                     tensors["bias"].values[i]);
  }
  write_tensors(folder_ / "a.safetensors", tensors);
  EXPECT_EQ(record({"--activations", path("a.safetensors")}).at("sites")[0].at("verdict"),
            "confirmed");
  for (float& gamma : tensors["weight"].values) gamma -= 1.0F;
  write_tensors(folder_ / "a.safetensors", tensors);
  expect_failure(3, {"--activations", path("a.safetensors")},
                 {"a.safetensors", "'output' is not the layernorm of 'input'", "1 + weight"});
}

TEST_F(VerifyCommandTest, AsksWhichNormWhereNothingTells) {
  expect_failure(2, {"--activations", write_activations("output", 200, false, /*bias=*/false)},
                 {"--norm layernorm|rmsnorm"});
  EXPECT_EQ(record({"--activations", path("activations.safetensors"), "--norm", "rmsnorm"})
                .at("sites")[0]
                .at("verdict"),
            "absent");
}

TEST_F(VerifyCommandTest, NamesWhatIsWrongWithActivations) {
  SmallTensors tensors = {{"weight", random_tensor({8}, 1, 1.0F)},
                          {"bias", random_tensor({8}, 2)},
                          {"input", random_tensor({20, 7}, 3)}};
  const auto complain = [&](int code, const std::vector<std::string>& parts) {
    write_tensors(folder_.path() / "a.safetensors", tensors);
    expect_failure(code, {"--activations", path("a.safetensors")}, parts);
  };
  complain(3, {"'input'", "[20, 7]", "[N, 8]"});
  tensors["input"] = random_tensor({20, 8}, 3);
  tensors["input"].values[8 * 5 + 2] = std::numeric_limits<float>::quiet_NaN();
  complain(3, {"'input'", "row 5"});
  for (const char* name : {"input", "output"}) {  // with the table and without
    tensors.erase("input");
    tensors[name] = random_tensor({0, 8}, 3);
    complain(3, {std::string("'") + name + "' holds no rows", "[N, 8] with N > 8"});
    expect_failure(3, {"--activations", path("a.safetensors"), "--quiet"}, {"holds no rows"});
    tensors.erase(name);
  }
  complain(3, {"neither 'input' nor 'output'"});
  tensors["weight"].values[3] = std::numeric_limits<float>::infinity();
  tensors["input"] = random_tensor({20, 8}, 3);
  complain(3, {"index 3", "inf"});
}

TEST_F(VerifyCommandTest, IsUndeterminedWhereAllRowsAreEqual) {
  SmallTensors tensors = {{"weight", random_tensor({8}, 1, 1.0F)}, {"bias", random_tensor({8}, 2)}};
  SmallTensor rows = {{20, 8}, std::vector<float>(160, 1.5F)};
  tensors["output"] = rows;
  write_tensors(folder_.path() / "a.safetensors", tensors);
  const auto result = record({"--activations", path("a.safetensors")}, 8);
  EXPECT_NE(result.at("sites")[0].at("reason").get<std::string>().find("covariance is zero"),
            std::string::npos)
      << result.at("sites")[0].at("reason");
}

TEST_F(VerifyCommandTest, NamesWhatIsWrongWithTheCommandLine) {
  expect_failure(2, {}, {"MODEL", "--activations"});
  expect_failure(2, {kModels + "gpt2-tied", "--tokns", "x"}, {"--tokns", "--tokens"});
  expect_failure(2, {kModels + "gpt2-tied", "--site", "ln_g"}, {"ln_f"});
  expect_failure(2, {kModels + "gpt2-tied", "--sequence-length", "21"}, {"20 tokens"});
  for (const char* device : {"gpu", "cuda:", "cuda:x", "cpu:0"})
    expect_failure(2, {kModels + "gpt2-tied", "--device", device},
                   {"--device", device, "cpu, cuda or cuda:N"});
  expect_failure(6, {kModels + "gpt2-tied", "--json", path("no-folder/x.json")}, {"no-folder"});
  expect_failure(6, {kModels + "gpt2-tied", "--dump", path("no-folder/x.safetensors")},
                 {"no-folder"});
}

TEST_F(VerifyCommandTest, SaysInOneLineThatThereIsNoDevice) {
  if (std::filesystem::exists("/dev/nvidiactl")) GTEST_SKIP() << "there is a device, or its driver";
  expect_failure(6, {kModels + "gpt2-tied", "--device", "cuda"}, {"--device cuda", "--device cpu"});
  expect_failure(6, {kModels + "gpt2-tied", "--device", "cuda:1"},
                 {"--device cuda:1", "--device cpu"});
}

TEST_F(VerifyCommandTest, SaysWhatARunWouldTake) {
  const auto plan = record({kModels + "gpt2-tied", "--dry-run", "--random-tokens",
                            "300"});  // parses: no prose beside it
  EXPECT_EQ(plan.at("schema"), "deadray/plan/1");
  EXPECT_EQ(plan.at("calibration").at("tokens"), 300);
  EXPECT_GT(plan.at("bytes").at("peak").get<double>(), 0);
  EXPECT_EQ(plan.at("fits"), true);
  EXPECT_TRUE(plan.at("way_out").is_null());
  Spawned run({"verify", kModels + "gpt2-tied", "--dry-run"});
  EXPECT_NE(run.output().find("residual stream"), std::string::npos) << run.output();
}

// A block of 12 d^2 weights takes 3.8 TB in bfloat16, for one token and one norm: neither fewer
// tokens nor another norm is a way out.
TEST_F(VerifyCommandTest, ADryRunOfWhatDoesNotFitSaysSo) {
  write_text(
      folder_.path() / "config.json",
      R"({"model_type": "gpt2", "n_embd": 400000, "n_head": 2, "n_layer": 1, "n_positions": 16,)"
      R"( "vocab_size": 11})");
  const std::vector<std::string> run = {
      folder_.path().string(), "--init", "random",   "--batch", "1",
      "--sequence-length",     "1",      "--dry-run"};
  expect_failure(6, run, {"does not fit; no option makes it fit"});
  auto with_json = run;
  with_json.insert(with_json.begin(), "verify");
  with_json.insert(with_json.end(), {"--json", "-"});
  Spawned json(with_json);
  EXPECT_EQ(json.wait(), 6) << json.errors();
  const auto plan = nlohmann::json::parse(json.output());
  EXPECT_EQ(plan.at("fits"), false);
  EXPECT_EQ(plan.at("way_out").get<std::string>().find("token"), std::string::npos) << plan;
}

// Copies that torchrun or srun started would all do the whole work.
TEST_F(VerifyCommandTest, RefusesToRunAsOneOfSeveralProcesses) {
  const std::string model = kModels + "gpt2-tied";
  for (const char* variable : {"WORLD_SIZE", "SLURM_STEP_NUM_TASKS"}) {
    setenv(variable, "4", 1);
    expect_failure(2, {model}, {variable, "is 4", "--only"});
    test::expect_failure(ExitCode::usage, {"suite", "roster.json", "--out", path("out")},
                         {variable});
    Spawned help({"verify", "--help"});
    EXPECT_EQ(help.wait(), 0) << help.errors();
    setenv(variable, "1", 1);
    Spawned alone({"verify", model, "--quiet"});
    EXPECT_EQ(alone.wait(), 0) << alone.errors();
    unsetenv(variable);
  }
}

// 2^63 - 1 tokens do not even have a size in bytes; 10^12 do, and no machine has as many.
TEST_F(VerifyCommandTest, RefusesOptionsThatWouldDoNothing) {
  const std::string model = kModels + "gpt2-tied", file = write_activations("input", 200, true);
  expect_failure(2, {model, "--activations", file}, {"MODEL", "--activations"});
  for (const std::vector<std::string>& options :
       std::vector<std::vector<std::string>>{{"--dump", path("x")},
                                             {"--residual"},
                                             {"--tokens", path("x.npy")},
                                             {"--random-tokens", "9"},
                                             {"--batch", "2"},
                                             {"--sequence-length", "8"},
                                             {"--init", "random"},
                                             {"--dtype", "float64"},
                                             {"--site", "all"}}) {
    std::vector<std::string> arguments = {"--activations", file};
    arguments.insert(arguments.end(), options.begin(), options.end());
    expect_failure(2, arguments, {options[0], "--activations"});
  }
  expect_failure(2, {model, "--norm", "rmsnorm"}, {"--norm", "--activations"});
  expect_failure(2, {model, "--eps", "1e-5"}, {"--eps", "--activations"});
  expect_failure(2, {model, "--dump-logits"}, {"--dump-logits", "--dump"});
  expect_failure(2, {model, "--batch", "2", "--random-tokens", "300"},
                 {"--batch", "--random-tokens"});
}

TEST_F(VerifyCommandTest, RefusesNumbersOutsideTheirRange) {
  const std::string model = kModels + "gpt2-tied", file = write_activations("input", 200, true);
  for (const char* tau : {"5", "1", "-0.1", "nan", "much"})
    expect_failure(2, {model, "--tau", tau}, {"--tau", tau});
  for (const char* eps : {"-1", "nan", "inf"})
    expect_failure(2, {"--activations", file, "--eps", eps}, {"--eps", eps});
  expect_failure(3, {"--activations", file, "--max-header", "10"},
                 {"header too large", "--max-header"});
}

TEST_F(VerifyCommandTest, SaysInOneLineThatMemoryIsShort) {
  for (const char* tokens : {"1000000000000", "9223372036854775807"})
    expect_failure(6, {kModels + "gpt2-tied", "--random-tokens", tokens},
                   {"not enough memory", "fewer tokens"});
}

TEST_F(VerifyCommandTest, NamesAWeightThatContradictsTheConfiguration) {
  write_small_gpt2(folder_.path());  // norms and embedding only: the positions are missing
  expect_failure(3, {folder_.path().string()}, {folder_.path().string(), "no tensor 'wpe.weight'"});
  std::string config = kSmallConfig;
  config.replace(config.find("\"vocab_size\": 11"), 16, "\"vocab_size\": 12");
  write_text(folder_.path() / "config.json", config);
  expect_failure(3, {folder_.path().string()},
                 {"model.safetensors", "'wte.weight'", "[11, 8]", "[12, 8]"});
}

TEST_F(VerifyCommandTest, PassesOnTheNotesAboutTheFiles) {
  const std::string file = write_activations("input", 200, true);
  std::ofstream(file, std::ios::app | std::ios::binary) << "more";
  Spawned run({"verify", "--activations", file, "--json", path("record.json")});
  EXPECT_EQ(run.wait(), 0) << run.errors();
  EXPECT_NE(run.errors().find("note: "), std::string::npos) << run.errors();
  const auto notes = nlohmann::json::parse(read_text(path("record.json"))).at("notes");
  ASSERT_EQ(notes.size(), 2U);
  EXPECT_NE(notes[0].get<std::string>().find("4 bytes"), std::string::npos) << notes;
  EXPECT_NE(notes[1].get<std::string>().find("a LayerNorm, since"), std::string::npos) << notes;
  Spawned quiet({"verify", "--activations", file, "--quiet"});
  EXPECT_EQ(quiet.errors(), "");
  expect_failure(3, {"--activations", file, "--strict"}, {"4 bytes"});
  std::filesystem::remove(file);
  write_text(folder_.path() / "config.json", kSmallConfig);
  EXPECT_EQ(record({folder_.path().string(), "--init", "random"}).at("notes").size(), 0U);
}

TEST_F(VerifyCommandTest, TellsNormsThatTheConfigurationDoesNotDescribe) {
  const fs::path fixture = kModels + "gpt2-tied";
  std::string config = read_text(fixture / "config.json");
  const std::size_t layers = config.find("\"n_layer\": 3");
  ASSERT_NE(layers, std::string::npos);
  write_text(folder_.path() / "config.json", config.replace(layers, 12, "\"n_layer\": 2"));
  fs::copy_file(fixture / "model.safetensors", folder_.path() / "model.safetensors");
  const auto notes = record({folder_.path().string()}).at("notes");
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_NE(notes[0].get<std::string>().find("2 norms are left out, of which config.json says "
                                             "nothing: transformer.h.2.ln_1, transformer.h.2.ln_2"),
            std::string::npos)
      << notes;
}

TEST_F(VerifyCommandTest, SaysWhereAModelOfTheHubCameFrom) {
  const fs::path snapshot =
      folder_.path() / "models--org--name" / "snapshots" / std::string(40, 'a');
  fs::create_directories(snapshot);
  write_text(snapshot / "config.json", kSmallConfig);
  const auto result = record({snapshot.string(), "--init", "random"});
  EXPECT_EQ(result.at("model").at("name"), "name");
  EXPECT_EQ(result.at("model").at("hub").at("repository"), "org/name");
  EXPECT_EQ(result.at("sites")[0].at("gamma").at("offset"), 0);
}

TEST_F(VerifyCommandTest, TakesNoNegativeSeed) {
  expect_failure(2, {kModels + "gpt2-tied", "--seed", "-1"}, {"--seed", "-1 is not an integer"});
}

// As predict: what a folder lacks is said before what its config.json lacks.
TEST_F(VerifyCommandTest, NamesWhatIsWrongWithAFolder) {
  for (const char* command : {"verify", "fisher"})
    test::expect_failure(ExitCode::unsupported, {command, folder_.path().string()}, {"no weights"});
  write_text(folder_.path() / "adapter_config.json", "{}");
  write_tensors(folder_.path() / "adapter_model.safetensors",
                {{"base.lora_A.weight", random_tensor({2, 2}, 1)}});
  for (const char* command : {"verify", "fisher"})
    test::expect_failure(ExitCode::unsupported, {command, folder_.path().string()}, {"base model"});
}

TEST_F(VerifyCommandTest, LeavesNoHalfDumpBehindWhenStopped) {
  std::filesystem::create_directory(folder_.path() / "dumps");
  const auto n_entries = [&] {
    const std::filesystem::directory_iterator entries(folder_.path() / "dumps");
    return std::distance(begin(entries), end(entries));
  };
  write_text(
      folder_.path() / "config.json",
      R"({"model_type": "gpt2", "n_embd": 128, "n_head": 2, "n_layer": 200, "n_positions": 64,)"
      R"( "vocab_size": 11})");
  Spawned run({"verify", folder_.path().string(), "--init", "random", "--random-tokens", "512",
               "--residual", "--dump", (folder_.path() / "dumps" / "x.safetensors").string()});
  for (int tries = 0; n_entries() == 0 && tries < 60'000; ++tries) usleep(1000);
  EXPECT_EQ(n_entries(), 1) << "the dump had begun";
  kill(run.process(), SIGTERM);
  EXPECT_EQ(run.wait(), 128 + SIGTERM);
  EXPECT_EQ(run.errors(), "");
  EXPECT_EQ(n_entries(), 0);
}

// The first norm is done long before the last of 4001: some delay of a doubling series falls
// between them.
TEST_F(VerifyCommandTest, SavesTheNormsThatAreDoneWhenStopped) {
  write_text(
      folder_.path() / "config.json",
      R"({"model_type": "gpt2", "n_embd": 128, "n_head": 2, "n_layer": 2000, "n_positions": 64,)"
      R"( "vocab_size": 11})");
  const std::filesystem::path file = folder_.path() / "part.json";
  for (useconds_t delay = 100'000; !std::filesystem::exists(file); delay *= 2) {
    Spawned run({"verify", folder_.path().string(), "--init", "random", "--random-tokens", "512",
                 "--site", "all", "--quiet", "--json", file});
    usleep(delay);
    kill(run.process(), SIGTERM);
    ASSERT_EQ(run.wait(), 128 + SIGTERM) << run.errors();
  }
  const nlohmann::json part = nlohmann::json::parse(read_text(file));
  EXPECT_EQ(part.at("complete"), false);
  EXPECT_GE(part.at("sites").size(), 1U);
  EXPECT_LT(part.at("sites").size(), 4001U);
  EXPECT_NE(part.at("sites")[0].at("name").dump().find("h.0.ln_1"), std::string::npos)
      << part.at("sites")[0].at("name");
  EXPECT_NE(part.at("notes").dump().find("stopped by signal 15: "), std::string::npos)
      << part.at("notes");
}

TEST_F(VerifyCommandTest, FailsLoudlyOnAFullDisk) {
  const int full = open("/dev/full", O_WRONLY);
  Spawned run({"verify", kModels + "gpt2-tied"}, full);
  close(full);
  EXPECT_EQ(run.wait(), 6) << run.errors();
}

TEST_F(VerifyCommandTest, EndsQuietlyWhenNobodyReads) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  close(ends[0]);
  Spawned run({"verify", kModels + "gpt2-tied"}, ends[1]);
  close(ends[1]);
  EXPECT_EQ(run.wait(), 141);
  EXPECT_EQ(run.errors(), "");
}

}  // namespace
}  // namespace deadray::test
