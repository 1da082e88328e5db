#include "verify/forward/observer_queue.h"

#include <gtest/gtest.h>

#include "tests/verify/forward/model_fixture.h"

namespace deadray {
namespace {

/// Counts the norms of a block that are shown the very rows of the one before.
class SameRows final : public Observer {
 public:
  bool wants(const std::string&) override { return true; }
  void norms(std::span<const NormTile> tiles) override {
    for (std::size_t i = 1; i < tiles.size(); ++i) {
      same += tiles[i].input.is_same(tiles[i - 1].input) ? 1 : 0;
      equal += at::equal(tiles[i].input, tiles[i - 1].input) ? 1 : 0;
    }
  }
  int same = 0, equal = 0;
};

SameRows run(const char* name) {
  const auto model = prepare_model(test::kModels / name, {});
  const Checkpoint reference = Checkpoint::open(test::kModels / name / "reference64.safetensors");
  SameRows seen;
  Executor(model->architecture, *model->weights, {at::kDouble})
      .run(test::calibration_of(*model, reference), seen);
  return seen;
}

TEST(ObserverQueueTest, ShowsNormsThatReadTheSameRowsOneTensor) {
  for (const char* parallel : {"gpt-neox-parallel", "falcon-two-norms"}) {
    const SameRows seen = run(parallel);
    EXPECT_GT(seen.same, 0) << parallel;
    EXPECT_EQ(seen.same, seen.equal) << parallel;
  }
  for (const char* sequential : {"gpt-neox-sequential", "gemma3"})
    EXPECT_EQ(run(sequential).same, 0) << sequential;
}

}  // namespace
}  // namespace deadray
