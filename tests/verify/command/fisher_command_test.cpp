#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <nlohmann/json.hpp>

#include "tests/support/errors.h"
#include "tests/support/small_model.h"
#include "tests/support/spawned.h"
#include "tests/support/token_file.h"
#include "tests/verify/command/fixture_models.h"

// `deadray fisher` as a user runs it, on the fixtures.
namespace deadray::test {
namespace {

class FisherCommandTest : public testing::Test {
 protected:
  nlohmann::json record(std::vector<std::string> arguments,
                        std::vector<std::string> input = {"--random-tokens", "32",
                                                          "--sequence-length", "8"}) {
    arguments.insert(arguments.begin(), "fisher");
    arguments.insert(arguments.end(), input.begin(), input.end());
    arguments.insert(arguments.end(), {"--json", "-"});
    Spawned run(std::move(arguments));
    EXPECT_EQ(run.wait(), 0) << run.errors();
    return nlohmann::json::parse(run.output());
  }
  void expect_failure(ExitCode code, std::vector<std::string> arguments,
                      const std::vector<std::string>& parts) {
    arguments.insert(arguments.begin(), "fisher");
    test::expect_failure(code, std::move(arguments), parts);
  }
  TemporaryFolder folder_;
};

// Every claimed direction of every LayerNorm family: F of rounding, (2^-53)^2 of a control's and
// some hundreds for sums; outputs that do not move at 100 times |W| (kStill of fisher.h), where a
// control moves them: by more than a thousandth of a thousandth, or it would be none.
TEST_F(FisherCommandTest, EveryClaimedDirectionIsDead) {
  const std::vector<std::string> text = {"gpt2-untied",         "bert-pooler", "gpt-neox-parallel",
                                         "gpt-neox-sequential", "opt-pre",     "bloom-three-heads",
                                         "falcon-two-norms",    "phi-plain",   "cohere-qk-norms"};
  const std::vector<std::string> pixels = {"dinov2-swiglu", "vit-pooler", "clip-vision"};
  for (const auto* names : {&text, &pixels})
    for (const std::string& name : *names) {
      const std::vector<std::string> arguments{kModels + name, "--site",     "all",
                                               "--invariance", "--controls", "3"};
      const auto r = names == &pixels ? record(arguments, {"--batch", "2"}) : record(arguments);
      int claimed = 0;
      for (const auto& consumer : r.at("consumers")) {
        if (!consumer.at("claimed") || consumer.at("dead").is_null()) continue;
        ++claimed;
        EXPECT_LT(consumer.at("ratio").get<double>(), 1e-24) << name << " " << consumer.dump();
        EXPECT_LT(consumer.at("invariance").get<double>(), 1e-10) << name << " " << consumer.dump();
        EXPECT_GT(consumer.at("invariance_random").get<double>(), 1e-4)
            << name << " " << consumer.dump();
        EXPECT_GT(consumer.at("count").get<int>() + (consumer.at("family") == "weight_and_beta"), 0)
            << name << " " << consumer.dump();
      }
      EXPECT_GT(claimed, 0) << name;
    }
}

// Hidden tokens are in no mean: of F over rows of the output, of K-FAC's two factors. In FP64 what
// is left is the order of sums in attention. F dead is rounding itself and is not compared.
TEST_F(FisherCommandTest, MeasuresAPaddedBatchAsItsSequencesWithoutPadding) {
  const PaddedBatch batch = padded_batch(6, 8, 3, 23);
  write_token_file(folder_ / "plain.safetensors", {{"input_ids", batch.ids}});
  write_token_file(folder_ / "padded.safetensors",
                   {{"input_ids", batch.padded_ids}, {"attention_mask", batch.mask}});
  for (const char* model : {"gpt2-untied", "llama-gqa-tied", "opt-headless"}) {
    const auto run = [&](const char* file) {
      return record({kModels + model, "--site", "all", "--controls", "2", "--invariance"},
                    {"--tokens", (folder_ / file).string()});
    };
    const auto plain = run("plain.safetensors"), padded = run("padded.safetensors");
    EXPECT_EQ(padded.at("calibration").at("rows"), 48);
    EXPECT_EQ(padded.at("calibration").at("masked"), 7 * 11 - 48);
    for (std::size_t i = 0; i < plain.at("consumers").size(); ++i) {
      const auto &want = plain.at("consumers")[i], &got = padded.at("consumers")[i];
      EXPECT_EQ(got.at("verdict"), want.at("verdict")) << want.dump() << got.dump();
      const auto expect_near = [&](const nlohmann::json& a, const nlohmann::json& b) {
        if (b.is_null()) return;
        EXPECT_NEAR(a.get<double>(), b.get<double>(), 1e-9 * b.get<double>())
            << model << " " << want.dump() << got.dump();
      };
      for (const char* figure : {"kfac_random", "invariance_random"})
        expect_near(got.at(figure), want.at(figure));
      if (want.at("random").is_null()) continue;
      for (const char* figure : {"median", "min", "max"})
        expect_near(got.at("random").at(figure), want.at("random").at(figure));
    }
  }
}

TEST_F(FisherCommandTest, LeavesTheFirstTokensOutOfTheStatisticsOnRequest) {
  const auto r = record({kModels + "gpt2-untied", "--site", "all", "--skip-tokens", "2"});
  EXPECT_EQ(r.at("calibration").at("rows"), 24);
  EXPECT_EQ(r.at("calibration").at("skipped"), 8);
  for (const auto& consumer : r.at("consumers"))
    if (consumer.at("claimed")) {
      EXPECT_EQ(consumer.at("verdict"), "confirmed") << consumer.dump();
    }
}

TEST_F(FisherCommandTest, ClaimsNothingOfRmsNormsWhereNothingIsDead) {
  for (const char* name : {"llama-gqa-tied", "qwen3-moe", "gemma2"}) {
    const auto r = record({kModels + name, "--site", "all", "--controls", "3"});
    EXPECT_EQ(r.at("totals").at("dead_directions"), 0) << name;
    for (const auto& consumer : r.at("consumers")) {
      EXPECT_EQ(consumer.at("claimed"), false) << name;
      if (consumer.at("ratio").is_null() || consumer.at("random").at("max") == 0.0)
        continue;  // an expert that no token chose
      EXPECT_GT(consumer.at("ratio").get<double>(), 1e-3)
          << name << " " << consumer.dump();  // alive: of a control's size
    }
  }
}

// Queries and keys of one token in a sequence change nothing, whatever they are: that the direction
// is dead there shows nothing.
TEST_F(FisherCommandTest, ControlsThatAreDeadTooLeaveTheClaimUndetermined) {
  Spawned run({"fisher", kModels + "bert-pooler", "--site", "encoder.layer.0.output.LayerNorm",
               "--random-tokens", "8", "--sequence-length", "1", "--json", "-"});
  EXPECT_EQ(run.wait(), static_cast<int>(ExitCode::undetermined)) << run.errors();
  for (const auto& consumer : nlohmann::json::parse(run.output()).at("consumers"))
    EXPECT_EQ(consumer.at("verdict"),
              consumer.at("random").at("max") == 0.0 ? "undetermined" : "confirmed")
        << consumer.dump();
}

TEST_F(FisherCommandTest, ANormWithoutConsumersIsSaidNotSkipped) {
  Spawned run({"fisher", kModels + "bloom-headless", "--random-tokens", "8", "--sequence-length",
               "4", "--json", "-"});
  EXPECT_EQ(run.wait(), static_cast<int>(ExitCode::undetermined));
  EXPECT_TRUE(contains(run.errors(), "no parameter to measure"));
}

TEST_F(FisherCommandTest, ATiedHeadIsNotClaimedThoughItsOwnCopyIsDead) {
  const auto head = record({kModels + "gpt2-tied"}).at("consumers").at(0);
  EXPECT_EQ(head.at("claimed"), false);
  EXPECT_NE(head.at("why").get<std::string>().find("tied"), std::string::npos);
  EXPECT_LT(head.at("ratio").get<double>(), 1e-24);
}

TEST_F(FisherCommandTest, Float32SeesTheSameToItsOwnRounding) {
  for (const auto& consumer :
       record({kModels + "gpt2-untied", "--site", "all", "--dtype", "float32"}).at("consumers"))
    EXPECT_LT(consumer.at("ratio").get<double>(), 1e-10) << consumer.dump();
}

TEST_F(FisherCommandTest, RunsAtRandomInitialisationFromTheConfigurationAlone) {
  write_text(folder_.path() / "config.json", kSmallConfig);
  const auto r = record({folder_.path().string(), "--init", "random", "--site", "all"});
  ASSERT_EQ(r.at("consumers").size(), 3U);
  EXPECT_LT(r.at("consumers").at(0).at("ratio").get<double>(), 1e-24);
}

// Directions, tokens and labels come from counters; only the order of the products' sums may differ
// with the threads: some hundred roundings of 2^-53 through two blocks.
TEST_F(FisherCommandTest, RecordsDependOnSeedAndInputAlone) {
  const std::vector<std::string> arguments{kModels + "phi-plain", "--site", "all"};
  auto one = record(arguments), again = record(arguments);
  for (auto* r : {&one, &again}) r->erase("seconds"), r->erase("environment");
  EXPECT_EQ(one, again);
  auto threaded = arguments;
  threaded.insert(threaded.end(), {"--threads", "1"});
  const auto single = record(threaded);
  for (std::size_t i = 0; i < one.at("consumers").size(); ++i) {
    const double a = one.at("consumers").at(i).at("random").at("median"),
                 b = single.at("consumers").at(i).at("random").at("median");
    EXPECT_NEAR(a / b, 1.0, 1e-12);
  }
}

TEST_F(FisherCommandTest, DumpsTheDirectionsForAnotherProgram) {
  const std::filesystem::path file = folder_.path() / "directions.safetensors";
  const auto consumer = record({kModels + "gpt2-untied", "--site", "transformer.h.0.ln_1",
                                "--directions", "1", "--controls", "3", "--dump", file.string()})
                            .at("consumers")
                            .at(0);
  const std::string bytes = read_text(file);
  std::uint64_t size = 0;
  std::memcpy(&size, bytes.data(), sizeof size);
  const auto header = nlohmann::json::parse(bytes.substr(sizeof size, size));
  const auto cases =
      nlohmann::json::parse(header.at("__metadata__").at("cases").get<std::string>());
  ASSERT_EQ(cases.size(), 1U + 1U + 3U) << "dead, the same without its bias, controls";
  std::vector<double> random;
  for (const auto& entry : cases) {
    EXPECT_EQ(entry.at("consumer"), consumer.at("name"));
    EXPECT_EQ(header.at(entry.at("moves").at(0).at("u").get<std::string>()).at("shape").at(0),
              consumer.at("width"));
    if (entry.at("kind") == "dead") {
      EXPECT_EQ(entry.at("fisher"), consumer.at("dead"));
    } else if (entry.at("kind") == "random") {
      random.push_back(entry.at("fisher"));
    }
  }
  std::sort(random.begin(), random.end());
  EXPECT_EQ(random.at(1), consumer.at("random").at("median"));
}

TEST_F(FisherCommandTest, RefusesWhatItCannotDo) {
  expect_failure(ExitCode::usage, {kModels + "gpt2-tied", "--dtype", "bfloat16"},
                 {"--dtype", "bfloat16"});
  expect_failure(ExitCode::usage, {kModels + "gpt2-tied", "--controls", "0"}, {"--controls"});
  expect_failure(ExitCode::usage, {kModels + "gpt2-tied", "--site", "ln_x"}, {"ln_x"});
  expect_failure(ExitCode::resources,
                 {kModels + "gpt2-tied", "--dump", (folder_.path() / "no/such/file").string()},
                 {"no/such"});
  expect_failure(ExitCode::resources,
                 {kModels + "gpt2-tied", "--json", (folder_.path() / "no/such/file").string()},
                 {"no/such"});
}

}  // namespace
}  // namespace deadray::test
