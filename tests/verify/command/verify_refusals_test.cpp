#include <fcntl.h>
#include <unistd.h>
#include <cstdlib>
#include <map>

#include "tests/support/token_file.h"
#include "tests/verify/command/verify_fixture.h"

// What `deadray verify` refuses: each in one line, with the exit code that a pipeline reads.
namespace deadray::test {
namespace {

class VerifyRefusalsTest : public VerifyCommandTest {};

TEST_F(VerifyRefusalsTest, NamesWhatIsWrongWithTheCommandLine) {
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

TEST_F(VerifyRefusalsTest, RefusesOptionsThatWouldDoNothing) {
  const std::string model = kModels + "gpt2-tied", file = write_activations("input", 200, true);
  expect_failure(2, {model, "--activations", file}, {"MODEL", "--activations"});
  for (const std::vector<std::string>& options :
       std::vector<std::vector<std::string>>{{"--dump", path("x")},
                                             {"--residual"},
                                             {"--tokens", path("x.npy")},
                                             {"--random-tokens", "9"},
                                             {"--batch", "2"},
                                             {"--sequence-length", "8"},
                                             {"--skip-tokens", "1"},
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

TEST_F(VerifyRefusalsTest, RefusesNumbersOutsideTheirRange) {
  const std::string model = kModels + "gpt2-tied", file = write_activations("input", 200, true);
  for (const char* tau : {"5", "1", "-0.1", "nan", "much"})
    expect_failure(2, {model, "--tau", tau}, {"--tau", tau});
  for (const char* eps : {"-1", "nan", "inf"})
    expect_failure(2, {"--activations", file, "--eps", eps}, {"--eps", eps});
  expect_failure(3, {"--activations", file, "--max-header", "10"},
                 {"header too large", "--max-header"});
}

TEST_F(VerifyRefusalsTest, RefusesTokenFilesThatContradictThemselvesOrTheModel) {
  const auto file = [&](const std::map<std::string, Rows>& tensors) {
    write_token_file(folder_ / "tokens.safetensors", tensors);
    return path("tokens.safetensors");
  };
  const std::string gpt2 = kModels + "gpt2-tied", bloom = kModels + "bloom-headless";
  const Rows ids = {{1, 2, 3}};
  expect_failure(3, {gpt2, "--tokens", file({{"input_ids", ids}, {"attention_mask", {{1, 0, 3}}}})},
                 {"attention_mask", "row 0, column 2", "0 or 1"});
  expect_failure(3, {gpt2, "--tokens", file({{"input_ids", ids}, {"attention_mask", {{0, 0, 0}}}})},
                 {"attention_mask", "hides every token"});
  expect_failure(3, {gpt2, "--tokens", file({{"input_ids", ids}, {"position_ids", {{0, 1, 20}}}})},
                 {"position_ids", "row 0, column 2", "0 to 19"});
  expect_failure(4, {bloom, "--tokens", file({{"input_ids", ids}, {"position_ids", {{0, 1, 2}}}})},
                 {"position_ids", "bloom", "ALiBi"});
  expect_failure(2, {gpt2, "--tokens", file({{"input_ids", ids}}), "--skip-tokens", "3"},
                 {"skipping 3 tokens", "sequences of 3"});
  expect_failure(2,
                 {gpt2, "--tokens", file({{"input_ids", ids}, {"attention_mask", {{0, 0, 1}}}}),
                  "--skip-tokens", "1"},
                 {"skipping 1 token", "attention_mask"});
  expect_failure(2, {kModels + "vit-pooler", "--skip-tokens", "1"}, {"reads pixels"});
}

TEST_F(VerifyRefusalsTest, TakesNoNegativeSeed) {
  expect_failure(2, {kModels + "gpt2-tied", "--seed", "-1"}, {"--seed", "-1 is not an integer"});
}

TEST_F(VerifyRefusalsTest, RefusesToRunAsOneOfSeveralProcesses) {
  const std::string model = kModels + "gpt2-tied";
  for (const char* variable : {"WORLD_SIZE", "SLURM_STEP_NUM_TASKS"}) {
    setenv(variable, "4", 1);
    test::expect_failure(ExitCode::usage, {"suite", "roster.json", "--out", path("out")},
                         {variable, "is 4", "--shard"});
    Spawned help({"verify", "--help"});
    EXPECT_EQ(help.wait(), 0) << help.errors();
    setenv(variable, "1", 1);
    Spawned alone({"verify", model, "--quiet"});
    EXPECT_EQ(alone.wait(), 0) << alone.errors();
    unsetenv(variable);
  }
  setenv("WORLD_SIZE", "4", 1);  // torchrun's copies do not find each other through MPI
  expect_failure(2, {model}, {"WORLD_SIZE is 4", "mpirun or srun"});
  unsetenv("WORLD_SIZE");
}

TEST_F(VerifyRefusalsTest, SaysInOneLineThatThereIsNoDevice) {
  if (std::filesystem::exists("/dev/nvidiactl")) GTEST_SKIP() << "there is a device, or its driver";
  expect_failure(6, {kModels + "gpt2-tied", "--device", "cuda"}, {"--device cuda", "--device cpu"});
  expect_failure(6, {kModels + "gpt2-tied", "--device", "cuda:1"},
                 {"--device cuda:1", "--device cpu"});
}

// 2^63 - 1 tokens do not even have a size in bytes; 10^12 do, and no machine has as many.
TEST_F(VerifyRefusalsTest, SaysInOneLineThatMemoryIsShort) {
  for (const char* tokens : {"1000000000000", "9223372036854775807"})
    expect_failure(6, {kModels + "gpt2-tied", "--random-tokens", tokens},
                   {"not enough memory", "fewer tokens"});
}

// A block of 12 d^2 weights takes 3.8 TB in bfloat16, for one token and one norm: neither fewer
// tokens nor another norm is a way out.
TEST_F(VerifyRefusalsTest, ADryRunOfWhatDoesNotFitSaysSo) {
  write_text(folder_.path() / "config.json",
             R"({"model_type": "gpt2", "n_embd": 400000, "n_head": 2,
      "n_layer": 1, "n_positions": 16, "vocab_size": 11})");
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

TEST_F(VerifyRefusalsTest, RefusesQuantisedWeightsByFileAndTensor) {
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

TEST_F(VerifyRefusalsTest, NamesAWeightThatContradictsTheConfiguration) {
  write_small_gpt2(folder_.path());  // norms and embedding only: the positions are missing
  expect_failure(3, {folder_.path().string()}, {folder_.path().string(), "no tensor 'wpe.weight'"});
  std::string config = kSmallConfig;
  config.replace(config.find("\"vocab_size\": 11"), 16, "\"vocab_size\": 12");
  write_text(folder_.path() / "config.json", config);
  expect_failure(3, {folder_.path().string()},
                 {"model.safetensors", "'wte.weight'", "[11, 8]", "[12, 8]"});
}

// As predict: what a folder lacks is said before what its config.json lacks.
TEST_F(VerifyRefusalsTest, NamesWhatIsWrongWithAFolder) {
  for (const char* command : {"verify", "fisher"})
    test::expect_failure(ExitCode::unsupported, {command, folder_.path().string()}, {"no weights"});
  write_text(folder_.path() / "adapter_config.json", "{}");
  write_tensors(folder_.path() / "adapter_model.safetensors",
                {{"base.lora_A.weight", random_tensor({2, 2}, 1)}});
  for (const char* command : {"verify", "fisher"})
    test::expect_failure(ExitCode::unsupported, {command, folder_.path().string()}, {"base model"});
}

TEST_F(VerifyRefusalsTest, NamesTheCommandForModelsThatItDoesNotRun) {
  std::string config = kSmallConfig;
  config.insert(1, "\"add_cross_attention\": true, ");
  write_small_gpt2(folder_.path(), small_gpt2(), config);
  for (const char* command : {"verify", "fisher"})
    test::expect_failure(ExitCode::unsupported, {command, folder_.path().string()},
                         {"add_cross_attention is true", "`python -m deadray watch MODEL`"});
  write_text(folder_ / "config.json", "{\"model_type\": \"roberta\"}");
  for (const char* command : {"verify", "fisher"})
    test::expect_failure(ExitCode::unsupported, {command, folder_.path().string()},
                         {"roberta", "`python -m deadray watch MODEL`"});
}

TEST_F(VerifyRefusalsTest, ReplacesNothingThatItReads) {
  const std::string model = kModels + "gpt2-tied",
                    activations = write_activations("input", 200, true);
  write_token_file(folder_ / "tokens.safetensors", {{"input_ids", {{1, 2, 3}}}});
  const std::string tokens = path("tokens.safetensors");
  std::filesystem::create_symlink(tokens, folder_ / "link");
  std::filesystem::create_directory(folder_ / "model");
  write_small_gpt2(folder_ / "model");
  const std::string weights = path("model/model.safetensors"), before = read_text(weights);
  expect_failure(2, {model, "--tokens", tokens, "--json", path("link")}, {"link", tokens});
  expect_failure(2, {model, "--tokens", tokens, "--dump", path("./link")}, {"link", tokens});
  expect_failure(2, {"--activations", activations, "--json", activations}, {activations});
  expect_failure(2, {path("model"), "--init", "random", "--dump", weights}, {weights});
  for (const char* option : {"--json", "--dump"})
    test::expect_failure(ExitCode::usage, {"fisher", path("model"), option, weights}, {weights});
  for (const char* bench : {"predict", "timing"}) {
    std::vector<std::string> words = {"bench", bench, path("model"), "--json", weights};
    if (bench == std::string("predict")) words.insert(words.begin() + 2, "--model");
    test::expect_failure(ExitCode::usage, words, {weights});
  }
  EXPECT_EQ(read_text(weights), before);
}

TEST_F(VerifyRefusalsTest, RefusesToDumpLogitsOfAModelWithoutAHead) {
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

TEST_F(VerifyRefusalsTest, FailsLoudlyOnAFullDisk) {
  const int full = open("/dev/full", O_WRONLY);
  Spawned run({"verify", kModels + "gpt2-tied"}, full);
  close(full);
  EXPECT_EQ(run.wait(), 6) << run.errors();
}

TEST_F(VerifyRefusalsTest, NamesTheWordsThatAnOptionTakes) {
  const std::string model = kModels + "gpt2-tied";
  expect_failure(2, {model, "--method", "egh"},
                 {"--method", "{eigh,certificate,directional}", "did you mean 'eigh'?"});
  expect_failure(2, {model, "--method", "0"}, {"--method", "0 not in"});
  expect_failure(2, {model, "--init", "trained"}, {"--init", "{checkpoint,random}"});
  expect_failure(2, {model, "--dtype", "float16"}, {"--dtype", "{float32,bfloat16,float64}"});
  expect_failure(2, {"--activations", "x.safetensors", "--norm", "groupnorm"},
                 {"--norm", "{layernorm,rmsnorm}"});
}

}  // namespace
}  // namespace deadray::test
