#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "host/base/error.h"
#include "tests/support/small_model.h"
#include "tests/support/spawned.h"

namespace deadray::test {
namespace {

using Names = std::vector<std::string>;

/// `deadray predict` on several small models.
class PredictSeveralTest : public ::testing::Test {
 protected:
  std::string add(const std::string& name, const SmallTensors& tensors = small_gpt2()) {
    fs::create_directories(folder_ / name);
    write_small_gpt2(folder_ / name, tensors);
    return (folder_ / name).string();
  }
  /// ones, but for the last scale of the final norm, which is 1/(1 + moved)
  std::string add_moved(const std::string& name, float moved) {
    SmallTensors tensors = small_gpt2();
    auto& gamma = tensors["ln_f.weight"].values;
    gamma.assign(gamma.size(), 1.0F);
    gamma.back() = 1.0F / (1.0F + moved);
    return add(name, tensors);
  }
  static nlohmann::json record(Names arguments) {
    arguments.insert(arguments.begin(), "predict");
    arguments.insert(arguments.end(), {"--json", "-", "--quiet"});
    Spawned run(std::move(arguments));
    EXPECT_EQ(run.wait(), 0) << run.errors();
    return nlohmann::json::parse(run.output());
  }

  TemporaryFolder folder_;
};

TEST_F(PredictSeveralTest, ComparesEachModelWithTheFirst) {
  const Names models{add_moved("a", 0.0F), add_moved("b", 1.0F), add_moved("c", 3.0F)};
  const auto r = record(models);
  EXPECT_EQ(r["schema"], "deadray/predict-several/1");
  EXPECT_EQ(r["labels"], (Names{"a", "b", "c"}));
  EXPECT_TRUE(r["steps"].is_null());
  ASSERT_EQ(r["models"].size(), 3U);
  EXPECT_EQ(r["models"][2]["schema"], "deadray/predict/1");
  EXPECT_EQ(r["models"][2]["model"]["name"], "c");
  ASSERT_EQ(r["pairs"].size(), 2U);
  for (std::size_t i = 0; i < 2; ++i) {
    const auto& pair = r["pairs"][i];
    EXPECT_EQ(pair["model"], i + 1);
    EXPECT_TRUE(pair["missing"].empty() && pair["more"].empty() && pair["not_compared"].empty());
    ASSERT_EQ(pair["norms"].size(), 3U);
    const auto &still = pair["norms"][0], &moved = pair["norms"][2];
    EXPECT_EQ(still["name"], "h.0.ln_1");
    EXPECT_EQ(still["final"], false);
    EXPECT_EQ(still["abs_cos"], 1.0);
    EXPECT_EQ(still["gamma_change"], 0.0);
    EXPECT_EQ(moved["name"], "ln_f");
    EXPECT_EQ(moved["final"], true);
    // 1/gamma is (1, …, 1) and (1, …, 1, 1 + e): tan of their angle is e sqrt(7)/(8 + e). 16
    // roundings each are more than there are.
    const double e = i == 0 ? 1.0 : 3.0, angle = std::atan2(e * std::sqrt(7.0), 8.0 + e);
    EXPECT_NEAR(moved["angle"].get<double>(), angle, 32 * 0x1p-53);
    EXPECT_NEAR(moved["abs_cos"].get<double>(), std::cos(angle), 32 * 0x1p-53);
    EXPECT_NEAR(moved["one_minus_abs_cos"].get<double>(), 1 - std::cos(angle), 32 * 0x1p-53);
    EXPECT_NEAR(moved["gamma_change"].get<double>(), e / (1 + e) / std::sqrt(8.0), 32 * 0x1p-53);
    EXPECT_EQ(moved["dimension"], (std::vector<int>{1, 1}));
    EXPECT_EQ(moved["gamma_min"], (std::vector<double>{1.0, 1 / (1 + e)}));
  }
}

TEST_F(PredictSeveralTest, SortsCheckpointsOfARun) {
  const Names models{add_moved("step10", 1.0F), add_moved("step2", 0.0F),
                     add_moved("step100", 2.F)};
  const auto r = record(models);
  EXPECT_EQ(r["labels"], (Names{"step2", "step10", "step100"}));
  EXPECT_EQ(r["steps"], (std::vector<int>{2, 10, 100}));
  EXPECT_EQ(r["models"][0]["model"]["name"], "step2");
  Names arguments{"predict"};
  arguments.insert(arguments.end(), models.begin(), models.end());
  Spawned table(arguments);
  EXPECT_EQ(table.wait(), 0);
  EXPECT_EQ(table.errors(), "");
  const std::string text = table.output();
  for (const char* part : {"h.0.ln_1", "ln_f", "least |cos|", "last |cos|", "step100",
                           "3 models, sorted by their numbers, 3 norms compared"})
    EXPECT_NE(text.find(part), std::string::npos) << part << " in\n" << text;
}

TEST_F(PredictSeveralTest, TellsWhereDeadCoordinatesOpen) {
  const auto add_with_zeros = [&](const std::string& name, std::size_t zeros) {
    SmallTensors tensors = small_gpt2();
    auto& gamma = tensors["ln_f.weight"].values;
    std::fill_n(gamma.begin(), zeros, 0.0F);
    return add(name, tensors);
  };
  const Names models{add_with_zeros("step1", 0), add_with_zeros("step2", 1),
                     add_with_zeros("step3", 1), add_with_zeros("step4", 3)};
  const auto r = record(models);
  const int counts[] = {1, 1, 3};
  for (std::size_t i = 0; i < 3; ++i)
    EXPECT_EQ(r["pairs"][i]["norms"][2]["coordinates"], (std::vector<int>{0, counts[i]}));
  Spawned table({"predict", models[0], models[1], models[2], models[3]});
  EXPECT_NE(table.output().find("dead coordinates open: 1 of ln_f (0 before) at step2, 3 of ln_f "
                                "(1 before) at step4\n"),
            std::string::npos)
      << table.output();
}

TEST_F(PredictSeveralTest, HasARowForEachModelOfOneNorm) {
  const Names models{add_moved("step1", 0.0F), add_moved("step2", 0x1p-20F),
                     add_moved("step3", 1.0F)};
  Spawned table({"predict", models[0], models[1], models[2], "--site", "final"});
  EXPECT_EQ(table.wait(), 0) << table.errors();
  const std::string text = table.output();
  // 1 - cos of e = 2^-20 is 7/2 (e/8)^2 = 5.0e-14 to first order.
  std::size_t last = 0;
  for (const char* part : {"step1 ", "step2 ", "1-5.0e-14", "step3 ", "0.9"}) {
    const std::size_t at = text.find(part, last);
    ASSERT_NE(at, std::string::npos) << part << " in\n" << text;
    last = at;
  }
  EXPECT_EQ(text.find("h.0.ln_1"), std::string::npos) << text;
  EXPECT_EQ(record({models[0], models[1], "--site", "h.0.ln_2"})["pairs"][0]["norms"].size(), 1U);
}

TEST_F(PredictSeveralTest, TellsWhatItDoesNotCompare) {
  const std::string first = add("a"), second = add("b"), third = add("c");
  const std::string wide = R"({"model_type": "gpt2", "n_embd": 8, "n_head": 2, "n_layer": 2,
    "n_positions": 16, "vocab_size": 11})";
  SmallTensors more = small_gpt2();
  more["h.1.ln_1.weight"] = more["h.1.ln_2.weight"] = random_tensor({8}, 5, 1.0F);
  more["h.1.ln_1.bias"] = more["h.1.ln_2.bias"] = random_tensor({8}, 6);
  write_small_gpt2(second, more, wide);
  SmallTensors other{{"ln_f.weight", random_tensor({6}, 1, 1.0F)},
                     {"h.0.ln_1.weight", random_tensor({8}, 2, 1.0F)}};
  fs::remove(fs::path(third) / "config.json");
  write_tensors(fs::path(third) / "model.safetensors", other);

  const auto r = record({first, second, third, "--norm", "layernorm"});
  EXPECT_EQ(r["pairs"][0]["more"], (Names{"h.1.ln_1", "h.1.ln_2"}));
  EXPECT_EQ(r["pairs"][0]["norms"].size(), 3U);
  EXPECT_EQ(r["pairs"][1]["missing"], (Names{"h.0.ln_2"}));
  EXPECT_EQ(r["pairs"][1]["norms"].size(), 1U);
  EXPECT_EQ(r["pairs"][1]["not_compared"],
            (Names{"ln_f is layernorm of width 6, not layernorm of width 8"}));
  EXPECT_EQ(r["notes"].size(), 3U) << r["notes"];
  Spawned run({"predict", first, second, third, "--norm", "layernorm"});
  EXPECT_EQ(run.wait(), 0);
  const std::string told = run.errors();
  for (const char* part :
       {"note: b: has 2 norms (h.1.ln_1, h.1.ln_2) that a lacks\n",
        "note: c: lacks 1 norm (h.0.ln_2) of a\n", "note: c: not compared with a: ln_f is",
        "note: a, b: --norm layernorm not needed"})
    EXPECT_NE(told.find(part), std::string::npos) << part << " in\n" << told;
  // Of one norm the others have fewer still: a row without numbers.
  Spawned one({"predict", first, third, "--norm", "layernorm", "--site", "h.0.ln_2"});
  EXPECT_EQ(one.wait(), static_cast<int>(ExitCode::usage)) << "none in common";
  EXPECT_EQ(record({first, third, second, "--norm", "layernorm", "--site",
                    "h.0.ln_2"})["models"][1]["sites"]
                .size(),
            0U);
}

TEST_F(PredictSeveralTest, MatchesNamesThoughOneLacksTheirBeginning) {
  SmallTensors prefixed;
  for (const auto& [name, tensor] : small_gpt2()) prefixed["transformer." + name] = tensor;
  const std::string bare = add("bare"), whole = add("whole", prefixed);
  for (const Names& models : {Names{bare, whole}, Names{whole, bare}}) {
    const auto norms = record(models)["pairs"][0]["norms"];
    ASSERT_EQ(norms.size(), 3U);
    EXPECT_EQ(norms[2]["name"], models[0] == bare ? "ln_f" : "transformer.ln_f");
    EXPECT_EQ(norms[2]["name_there"], models[0] == bare ? "transformer.ln_f" : "ln_f");
    EXPECT_EQ(norms[2]["angle"], 0.0);
  }
}

TEST_F(PredictSeveralTest, EndsWithTheErrorOfABadModel) {
  const std::string good = add("a"), bad = add("b");
  expect_failure(ExitCode::usage, {"predict", good, bad + "x"}, {bad + "x", "no such file"});
  write_text(fs::path(bad) / "config.json", "{\"model_type\": ");
  expect_failure(ExitCode::malformed, {"predict", good, bad}, {bad, "config.json"});
  write_text(fs::path(bad) / "config.json", "{\"model_type\": \"gtp2\"}");
  expect_failure(ExitCode::unsupported, {"predict", bad, good}, {"gtp2"});
  SmallTensors tensors = small_gpt2();
  tensors["ln_f.weight"].values[3] = std::nanf("");
  write_small_gpt2(bad, tensors);
  expect_failure(ExitCode::malformed, {"predict", good, bad},
                 {"b/model.safetensors", "'ln_f.weight'"});
}

TEST_F(PredictSeveralTest, RefusesWhatHasNothingInCommon) {
  SmallTensors other{{"model.norm.weight", random_tensor({8}, 1, 1.0F)}};
  const std::string first = add("a"), second = (folder_ / "b").string();
  fs::create_directories(second);
  write_tensors(fs::path(second) / "model.safetensors", other);
  expect_failure(ExitCode::usage, {"predict", first, second, "--norm", "layernorm"},
                 {first, "no norm of the same name, kind and width", "h.0.ln_1", "model.norm"});
}

TEST_F(PredictSeveralTest, RefusesDirectionsOfSeveral) {
  const std::string model = add("a"), file = (folder_ / "v.safetensors").string();
  expect_failure(ExitCode::usage, {"predict", model, model, "--directions", file},
                 {"--directions", "one model, not 2"});
  EXPECT_FALSE(fs::exists(file));
}

TEST_F(PredictSeveralTest, AppliesItsOptionsToEach) {
  const Names models{add_moved("a", 0.0F), add_moved("b", 9.0F)};
  const auto r = record({models[0], models[1], "--tau", "0.2", "--classify"});
  // The last scale of b's final norm, 0.1, counts as dead: its coordinate against (1, …,
  // 1)/sqrt(8).
  EXPECT_EQ(r["models"][1]["sites"][2]["predicted"]["coordinates"], (std::vector<int>{7}));
  EXPECT_NEAR(r["pairs"][0]["norms"][2]["abs_cos"].get<double>(), std::sqrt(1.0 / 8), 16 * 0x1p-53);
  for (const auto& model : r["models"])
    EXPECT_EQ(model["sites"][0]["classified"]["suggests"], "layernorm");
  Spawned table({"predict", models[0], models[1], "--classify"});
  EXPECT_NE(table.output().find("layernorm in 2 of 2"), std::string::npos) << table.output();
}

}  // namespace
}  // namespace deadray::test
