#include <gtest/gtest.h>

#include <tuple>

#include "tests/verify/forward/model_fixture.h"
#include "verify/calibration/counted_rows.h"

// The executor on sequences of which a mask hides tokens: on the right, on the left, inside, all.
namespace deadray {
namespace {

using test::kModels;

/// A model and the file of its padded batch.
struct PaddingCase {
  std::string model, file;
};
void PrintTo(const PaddingCase& value, std::ostream* out) {
  *out << value.model << ", " << value.file;
}

/// Every batch of tests/fixtures/make_padded.py.
std::vector<PaddingCase> padding_cases() {
  std::vector<PaddingCase> all;
  for (const auto& folder : std::filesystem::directory_iterator(kModels))
    for (const char* file : {"padded", "placed"})
      if (std::filesystem::exists(folder.path() / (std::string(file) + ".safetensors")))
        all.push_back({folder.path().filename().string(), file});
  std::sort(all.begin(), all.end(), [](const PaddingCase& a, const PaddingCase& b) {
    return std::tie(a.model, a.file) < std::tie(b.model, b.file);
  });
  return all;
}

/// What a pass shows of every norm, and of the head's input.
class Watcher final : public Observer {
 public:
  bool wants(const std::string&) override { return true; }
  bool wants_whole_output(const std::string&) override { return true; }
  bool wants_head_input() override { return true; }
  void residual(std::int64_t, const at::Tensor& x) override { residuals.push_back(x.clone()); }
  void norm(const std::string& site, const at::Tensor&, const at::Tensor& output) override {
    outputs[site].push_back(output.clone());
  }
  void whole_output(const std::string& site, const at::Tensor& output) override {
    whole_outputs[site].push_back(output.clone());
  }
  void head_input(const Dual& tile) override { head_inputs.push_back(tile.value.clone()); }

  std::vector<at::Tensor> residuals, head_inputs;
  std::map<std::string, std::vector<at::Tensor>> outputs, whole_outputs;
};

class ExecutorPaddingTest : public testing::TestWithParam<PaddingCase> {
 protected:
  void SetUp() override {
    model_ = prepare_model(kModels / GetParam().model, {});
    reference_.emplace(
        Checkpoint::open(kModels / GetParam().model / (GetParam().file + ".safetensors")));
    calibration_ = test::calibration_of(*model_, *reference_);
  }
  Watcher run(at::ScalarType dtype, std::int64_t tile_tokens = 1024) const {
    Watcher watcher;
    Executor(model_->architecture, *model_->weights, {dtype, tile_tokens})
        .run(calibration_, watcher);
    return watcher;
  }
  /// The rows of a stream [N, d] that count.
  at::Tensor counted(const at::Tensor& stream) const {
    return counted_rows(calibration_.counted(),
                        stream.view({calibration_.sequences(), calibration_.length(), -1}));
  }

  std::unique_ptr<Model> model_;
  std::optional<Checkpoint> reference_;
  Calibration calibration_;
};

// 1e-5: the bound of ExecutorTest, which has the same models without padding.
TEST_P(ExecutorPaddingTest, EqualsTransformersInEveryRowThatTheMaskKeeps) {
  ASSERT_EQ(calibration_.masked(), 12 + 5 + 4 + 4);  // in PADDING of make_padded.py
  const Watcher seen = run(at::kFloat);
  for (std::size_t node = 0; node < seen.residuals.size(); ++node) {
    const std::string key = "residual." + std::to_string(node);
    EXPECT_LT(test::relative_error(counted(seen.residuals[node]),
                                   counted(test::read_tensor(*reference_, key))),
              1e-5)
        << key;
  }
}

TEST_P(ExecutorPaddingTest, ShowsNormsAndHeadTheRowsThatCountAlone) {
  calibration_.skip = 2;
  const Watcher seen = run(at::kDouble);
  for (const NormSite& site : model_->sites) {
    const at::Tensor shown = at::cat(seen.outputs.at(site.name)),
                     whole = at::cat(seen.whole_outputs.at(site.name));
    const std::int64_t rows_of_token =
        whole.size(0) / calibration_.tokens();  // heads of a query norm
    EXPECT_EQ(shown.size(0), calibration_.rows() * rows_of_token) << site.name;
    if (rows_of_token == 1) {
      EXPECT_TRUE(shown.equal(counted(whole))) << site.name;
    }
  }
  EXPECT_EQ(at::cat(seen.head_inputs).size(0), calibration_.rows());
}

TEST_P(ExecutorPaddingTest, MakesNoNaNOfASequenceThatIsWhollyHidden) {
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kBFloat16})
    for (const at::Tensor& x : run(dtype).residuals)
      EXPECT_TRUE(x.isfinite().all().item<bool>()) << dtype;
}

// Each tile makes the masks of its own sequences. 1e-12 as in ExecutorTest.
TEST_P(ExecutorPaddingTest, DoesNotDependOnTheTile) {
  const Watcher one = run(at::kDouble, 1), all = run(at::kDouble);
  for (std::size_t node = 0; node < all.residuals.size(); ++node)
    EXPECT_LT(test::relative_error(one.residuals[node], all.residuals[node]), 1e-12) << node;
  for (const auto& [site, tiles] : all.outputs)
    EXPECT_LT(test::relative_error(at::cat(one.outputs.at(site)), at::cat(tiles)), 1e-12) << site;
}

INSTANTIATE_TEST_SUITE_P(Fixtures, ExecutorPaddingTest, testing::ValuesIn(padding_cases()),
                         [](const auto& instance) {
                           std::string name = instance.param.model + "_" + instance.param.file;
                           for (char& c : name)
                             if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
                           return name;
                         });

}  // namespace
}  // namespace deadray
