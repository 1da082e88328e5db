#include "verify/fisher/fisher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/errors.h"
#include "tests/verify/forward/model_fixture.h"
#include "tests/verify/forward/small_device.h"
#include "verify/directional/watched_weights.h"

namespace deadray::test {
namespace {

/// A norm whose device runs out of memory at the calls that `failing` names.
class ShortOfMemory final : public LayerHook {
 public:
  explicit ShortOfMemory(std::vector<int> failing) : failing_(std::move(failing)) {}
  at::Tensor operator()(const at::Tensor&, const at::Tensor& output, const at::Tensor&) override {
    if (std::find(failing_.begin(), failing_.end(), calls_++) != failing_.end()) run_out();
    return output;
  }

 private:
  std::vector<int> failing_;
  int calls_ = 0;
};

/// What is said of the head's consumers, where the final norm runs out of memory.
std::vector<std::string> notes_of(std::vector<int> failing, bool invariance = false) {
  const auto model = prepare_model(kModels / "gpt2-untied", {});
  const std::unique_ptr<Weights> stored = std::move(model->weights);
  auto watched = std::make_unique<WatchedWeights>(*stored);
  watched->watch("transformer.ln_f", std::make_unique<ShortOfMemory>(std::move(failing)));
  model->weights = std::move(watched);
  FisherOptions options;
  options.counts = {1, 1};
  options.dtype = at::kFloat;
  options.invariance = invariance;
  auto notes = measure_fisher(*model, random_tokens(model->architecture, 1, 4, 8), options).notes;
  model->weights.reset();  // before what it views
  return notes;
}

// One tile of 32 tokens. The final norm is called once by the pass that keeps the streams and once
// by the head's. With finite steps there are two more: the streams in FP64 in between, and from
// those, at the end, the output that the steps are compared with.
TEST(MeasureFisherTest, SaysOfEveryPassThatItRanShortOfMemory) {
  EXPECT_TRUE(notes_of({}).empty());
  for (const int pass : {0, 1}) {
    const std::vector<std::string> notes = notes_of({pass});
    ASSERT_EQ(notes.size(), 1U) << pass;
    EXPECT_TRUE(contains(notes[0], "32 tokens: went on with 16"));
  }
  for (const int pass : {0, 1, 2, 3}) EXPECT_EQ(notes_of({pass}, true).size(), 1U) << pass;
}

TEST(MeasureFisherTest, SaysTheSameOnlyOnce) {
  // The first pass takes two tiles after that, in the calls 1 and 2.
  EXPECT_EQ(notes_of({0, 3}).size(), 1U);
}

}  // namespace
}  // namespace deadray::test
