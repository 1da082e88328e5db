#include <fstream>
#include <limits>

#include "tests/verify/command/verify_fixture.h"

// Files of activations that another program wrote.
namespace deadray::test {
namespace {

class VerifyActivationsTest : public VerifyCommandTest {};

TEST_F(VerifyActivationsTest, ConfirmsActivationsOfALayerNorm) {
  const auto from_input = record({"--activations", write_activations("input", 200, true)});
  EXPECT_EQ(from_input.at("sites")[0].at("verdict"), "confirmed");
  const auto from_output = record({"--activations", write_activations("output", 200, true)});
  EXPECT_EQ(from_output.at("sites")[0].at("verdict"), "confirmed")
      << from_output.at("sites")[0].at("reason");
  EXPECT_TRUE(from_output.at("sites")[0].at("exact").is_null());
}

// The negative control: rows that never lost their mean are no LayerNorm's, and saying they are
// must be refuted (exit 1).
TEST_F(VerifyActivationsTest, RefutesALayerNormThatIsNone) {
  EXPECT_EQ(record({"--activations", write_activations("output", 200, false)}, 1)
                .at("sites")[0]
                .at("verdict"),
            "refuted");
}

// gamma - 1 in place of gamma, as Gemma stores it: the exact reading would be of a norm that the
// model does not have.
TEST_F(VerifyActivationsTest, RefusesAnOutputThatIsNotTheNormOfItsInput) {
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

TEST_F(VerifyActivationsTest, AsksWhichNormWhereNothingTells) {
  expect_failure(2, {"--activations", write_activations("output", 200, false, /*bias=*/false)},
                 {"--norm layernorm|rmsnorm"});
  EXPECT_EQ(record({"--activations", path("activations.safetensors"), "--norm", "rmsnorm"})
                .at("sites")[0]
                .at("verdict"),
            "absent");
}

TEST_F(VerifyActivationsTest, NamesWhatIsWrongWithActivations) {
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

TEST_F(VerifyActivationsTest, IsUndeterminedWhereAllRowsAreEqual) {
  SmallTensors tensors = {{"weight", random_tensor({8}, 1, 1.0F)}, {"bias", random_tensor({8}, 2)}};
  SmallTensor rows = {{20, 8}, std::vector<float>(160, 1.5F)};
  tensors["output"] = rows;
  write_tensors(folder_.path() / "a.safetensors", tensors);
  const auto result = record({"--activations", path("a.safetensors")}, 8);
  EXPECT_NE(result.at("sites")[0].at("reason").get<std::string>().find("covariance is zero"),
            std::string::npos)
      << result.at("sites")[0].at("reason");
}

TEST_F(VerifyActivationsTest, PassesOnTheNotesAboutTheFiles) {
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

}  // namespace
}  // namespace deadray::test
