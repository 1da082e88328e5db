#include "verify/forward/executor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "host/architecture/catalogue.h"
#include "host/architecture/norm_parameters.h"
#include "tests/verify/forward/model_fixture.h"
#include "verify/base/tensors.h"
#include "verify/numerics/norm_rows.h"

namespace deadray {
namespace {

using test::kModels;

struct Case {
  std::string name;
  double tolerance64 = 0, tolerance32 = 0;
};
void PrintTo(const Case& value, std::ostream* out) { *out << value.name; }

/// @param folder  beside or below the models of the tests: "", "../fp8"
std::vector<Case> cases(const std::string& folder = "") {
  std::ifstream file(kModels / folder / "index.json");
  std::vector<Case> all;
  for (const auto& entry : nlohmann::json::parse(file))
    all.push_back({(std::filesystem::path(folder) / entry.at("name")).string(),
                   entry.at("tolerance64"), entry.value("tolerance32", 1e-5)});
  return all;
}

/// Runs a model and compares everything that transformers' reference file holds.
void expect_equal_to_transformers(const std::filesystem::path& path, at::ScalarType dtype,
                                  const std::filesystem::path& reference_file, double tolerance) {
  const auto model = prepare_model(path, {});
  const Checkpoint reference = Checkpoint::open(reference_file);
  test::Recorder recorder(test::last_norms(*model));
  Executor executor(model->architecture, *model->weights, {dtype, 1024, /*logits=*/true});
  executor.run(test::calibration_of(*model, reference), recorder);

  ASSERT_EQ(recorder.residuals.size(), static_cast<std::size_t>(model->architecture.n_blocks) + 1);
  for (std::size_t node = 0; node < recorder.residuals.size(); ++node) {
    const std::string key = "residual." + std::to_string(node);
    EXPECT_LT(test::relative_error(recorder.residuals[node], test::read_tensor(reference, key)),
              tolerance)
        << key;
  }
  ASSERT_EQ(model->architecture.ends_in_norm(), reference.find("final_norm.output") != nullptr);
  if (model->architecture.ends_in_norm()) {
    EXPECT_LT(test::relative_error(recorder.final_output(),
                                   test::read_tensor(reference, "final_norm.output")),
              tolerance);
  }
  ASSERT_EQ(model->architecture.predictor.has_value(),
            reference.find("predictor.final_norm.output") != nullptr);
  if (model->architecture.predictor) {
    EXPECT_LT(test::relative_error(recorder.output(model->sites.back().name),
                                   test::read_tensor(reference, "predictor.final_norm.output")),
              tolerance);
  }
  ASSERT_EQ(recorder.all_logits().defined(), reference.find("logits") != nullptr);
  if (recorder.all_logits().defined()) {
    EXPECT_LT(test::relative_error(recorder.all_logits(), test::read_tensor(reference, "logits")),
              tolerance);
  }
}

class ExecutorTest : public testing::TestWithParam<Case> {};

// 1e-5: some hundred roundings of 2^-24 each, through at most three blocks of a random model;
// transformers rounds as often. A fixture that needs more says so itself, and why.
TEST_P(ExecutorTest, EqualsTransformersInFloat32) {
  const std::filesystem::path folder = kModels / GetParam().name;
  expect_equal_to_transformers(folder, at::kFloat, folder / "reference.safetensors",
                               GetParam().tolerance32);
}

// In float64 the bound is the fixture's own: 1e-10 where transformers stays in float64, 5e-6 where
// it drops to float32 inside (RMSNorm, rotary).
TEST_P(ExecutorTest, EqualsTransformersInFloat64) {
  const std::filesystem::path folder = kModels / GetParam().name;
  expect_equal_to_transformers(folder, at::kDouble, folder / "reference64.safetensors",
                               GetParam().tolerance64);
}

const std::filesystem::path kGguf = kModels / "../gguf/models";

/// GGUF files of the same models, where the format says all that the run depends on: file and
/// model.
std::vector<std::pair<std::string, Case>> gguf_cases() {
  std::ifstream file(kGguf / "index.json");
  std::vector<std::pair<std::string, Case>> found;
  for (const auto& entry : nlohmann::json::parse(file)) {
    const auto runs_as_before = [](const auto& unsaid) {
      for (const auto& [key, value] : unsaid.items())
        if (key != "model_type" && key != "max_position_embeddings") return false;
      return true;
    };
    if (entry.at("quantised") || !entry.at("zero").is_null() || !runs_as_before(entry.at("unsaid")))
      continue;
    for (const Case& model : cases())
      if (model.name == entry.at("model")) found.emplace_back(entry.at("name"), model);
  }
  return found;
}

class GgufExecutorTest : public testing::TestWithParam<std::pair<std::string, Case>> {};

// The converter's work is undone: the same tensors in the same places, so the same bound.
TEST_P(GgufExecutorTest, EqualsTransformersInFloat64) {
  const auto& [name, model] = GetParam();
  expect_equal_to_transformers(kGguf / (name + ".gguf"), at::kDouble,
                               kModels / model.name / "reference64.safetensors", model.tolerance64);
}

INSTANTIATE_TEST_SUITE_P(Fixtures, GgufExecutorTest, testing::ValuesIn(gguf_cases()),
                         [](const auto& fixture) {
                           std::string name = fixture.param.first;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// Tiles of one sequence each: attention never crosses sequences, so the tiling must not show. Only
// the order of the products' sums may differ: a few d u each, through at most three blocks.
TEST_P(ExecutorTest, DoesNotDependOnTheTile) {
  const auto model = prepare_model(kModels / GetParam().name, {});
  const Checkpoint reference =
      Checkpoint::open(kModels / GetParam().name / "reference64.safetensors");
  const auto run = [&](std::int64_t tile_tokens) {
    test::Recorder recorder(test::last_norms(*model));
    Executor(model->architecture, *model->weights, {at::kDouble, tile_tokens, /*logits=*/true})
        .run(test::calibration_of(*model, reference), recorder);
    return recorder;
  };
  const test::Recorder one = run(1), all = run(1024);
  for (std::size_t node = 0; node < all.residuals.size(); ++node)
    EXPECT_LT(test::relative_error(one.residuals[node], all.residuals[node]), 1e-12) << node;
  for (const std::string& site : test::last_norms(*model))
    EXPECT_LT(test::relative_error(one.output(site), all.output(site)), 1e-12) << site;
  if (all.all_logits().defined()) {
    EXPECT_LT(test::relative_error(one.all_logits(), all.all_logits()), 1e-12);
  }
}

/// Rows of every norm of a model, as the executor shows them.
class AllNorms final : public Observer {
 public:
  bool wants(const std::string&) override { return true; }
  void norm(const std::string& site, const at::Tensor& input, const at::Tensor& output) override {
    inputs[site].push_back(input.clone()), outputs[site].push_back(output.clone());
  }
  void finished(const std::string& site) override { done.push_back(site); }
  std::map<std::string, std::vector<at::Tensor>> inputs, outputs;
  std::vector<std::string> done;
};

// What the catalogue says of a norm (kind, gamma, beta, eps, and which row of the tensor where each
// head has its own) is what the executor applies at the site of that name: recomputed in FP64 from
// the input it is the output. 1e-12: some d roundings of 2^-53.
TEST_P(ExecutorTest, ShowsEveryNormOfTheCatalogueUnderItsName) {
  const auto model = prepare_model(kModels / GetParam().name, {});
  const Checkpoint reference =
      Checkpoint::open(kModels / GetParam().name / "reference64.safetensors");
  AllNorms seen;
  Executor(model->architecture, *model->weights, {at::kDouble, 1024, /*logits=*/true})
      .run(test::calibration_of(*model, reference), seen);
  ASSERT_EQ(seen.outputs.size(), model->sites.size());
  for (const NormSite& site : model->sites) {
    ASSERT_TRUE(seen.outputs.contains(site.name)) << site.name;
    EXPECT_EQ(std::count(seen.done.begin(), seen.done.end(), site.name), 1) << site.name;
    const NormParameters norm = load_norm(*model->checkpoint, site);
    ASSERT_EQ(norm.gamma.size(), static_cast<std::size_t>(site.hidden_size)) << site.name;
    at::Tensor expected = recompute_norm(site, norm, at::cat(seen.inputs.at(site.name)));
    if (!norm.beta.empty()) expected += to_tensor(norm.beta);
    EXPECT_LT(test::relative_error(at::cat(seen.outputs.at(site.name)), expected), 1e-12)
        << site.name;
  }
}

std::string test_name(const testing::TestParamInfo<Case>& instance) {
  std::string name = std::filesystem::path(instance.param.name).filename();
  for (char& c : name)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  return name;
}

INSTANTIATE_TEST_SUITE_P(Fixtures, ExecutorTest, testing::ValuesIn(cases()), test_name);
// The reference is of weights that NumPy dequantised.
INSTANTIATE_TEST_SUITE_P(Fp8, ExecutorTest, testing::ValuesIn(cases("../fp8")), test_name);

}  // namespace
}  // namespace deadray
