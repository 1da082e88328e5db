#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>

#include "host/base/error.h"
#include "host/base/stop_signals.h"
#include "tests/verify/forward/model_fixture.h"
#include "tests/verify/forward/small_device.h"

// What the executor does where a device's memory runs out. The device is a CPU backend that refuses
// to have much of it.
namespace deadray {
namespace {

using test::SmallDevice;

Measurement measured(const std::string& name, Backend& backend) {
  const auto model = prepare_model(test::kModels / name, {false, 0, {}, &backend});
  MeasurementOptions options;
  options.site = "all";
  return measure(*model, random_tokens(model->architecture, 1, 32, 10), options);
}

// The size of a tile changes the order of sums in the FP32 forward pass: some hundred roundings of
// 2^-24 are 1e-5. The FP64 moments add 1e-12 at most.
void expect_equal(const Measurement& got, const Measurement& want) {
  ASSERT_EQ(got.sites.size(), want.sites.size());
  for (std::size_t i = 0; i < got.sites.size(); ++i) {
    const Reading &a = *got.sites[i].exact, &b = *want.sites[i].exact;
    EXPECT_EQ(a.tokens, 320) << got.sites[i].site.name;
    EXPECT_EQ(got.sites[i].judgement.verdict, want.sites[i].judgement.verdict);
    EXPECT_NEAR(a.eigenvalues.next, b.eigenvalues.next, 1e-5 * b.eigenvalues.last);
    EXPECT_NEAR(a.eigenvalues.mean, b.eigenvalues.mean, 1e-5 * b.eigenvalues.mean);
  }
}

TEST(ExecutorMemoryTest, HalvesTheTileCountsEveryRowOnceAndSaysSo) {
  for (const char* name : {"gpt2-tied", "bert-pooler", "llama-gqa-tied"}) {
    SmallDevice device;
    device.most_rows = 40;  // tiles of 320, 160, 80 tokens do not fit
    const Measurement got = measured(name, device), want = measured(name, cpu_backend());
    expect_equal(got, want);
    // The tile is halved three times, and a size that does not fit is not tried again. Before that
    // the block that was loaded ahead is given up; Bert runs out before its first block.
    EXPECT_EQ(device.failures, std::string(name) == "bert-pooler" ? 3 : 4) << name;
    ASSERT_EQ(static_cast<int>(got.notes.size()), device.failures);
    EXPECT_NE(got.notes.back().find("80 tokens: went on with 40"), std::string::npos)
        << got.notes.back();
    EXPECT_TRUE(want.notes.empty());
  }
}

/// Has room for 40 rows, and is stopped after the first that it sees.
class StoppedAtOnce final : public Observer {
 public:
  bool wants(const std::string&) override { return true; }
  void prepare(std::span<const NormTile> tiles) override {
    for (const NormTile& tile : tiles)
      if (tile.input.size(0) > 40) test::run_out();
  }
  void norm(const std::string&, const at::Tensor&, const at::Tensor&) override {
    throw Stopped{SIGTERM};
  }
};

TEST(ExecutorMemoryTest, ARunThatIsStoppedKeepsItsNotesAndSeconds) {
  const auto model = prepare_model(test::kModels / "gpt2-tied", {});
  Executor executor(model->architecture, *model->weights, {});
  StoppedAtOnce observer;
  EXPECT_THROW(executor.run(random_tokens(model->architecture, 1, 8, 10), observer), Stopped);
  ASSERT_EQ(executor.notes().size(), 1U);
  EXPECT_NE(executor.notes()[0].find("80 tokens: went on with 40"), std::string::npos)
      << executor.notes()[0];
  EXPECT_GT(executor.load_seconds(), 0.0);
}

void expect_refusal(SmallDevice& device, const std::vector<std::string>& parts) {
  try {
    measured("gpt2-tied", device);
    FAIL() << "expected a ResourceError";
  } catch (const ResourceError& error) {
    const std::string what = error.what();
    for (const std::string& part : parts)
      EXPECT_NE(what.find(part), std::string::npos) << "no '" << part << "' in: " << what;
    EXPECT_EQ(std::count(what.begin(), what.end(), '\n'), 0);
  }
}

TEST(ExecutorMemoryTest, GivesTheSizesWhereOneSequenceDoesNotFit) {
  SmallDevice device;
  device.most_rows = 9;
  expect_refusal(device, {"small device", "one sequence of 10 tokens", "block of weights",
                          "3.0 MiB are free", "--sequence-length"});
}

TEST(ExecutorMemoryTest, LoadsABlockLaterWhereTwoDoNotFit) {
  SmallDevice device;
  // Load 0 is the embedding, 1 is block 0, 2 is block 1 ahead.
  device.failing_loads = [](int load) { return load == 2; };
  const Measurement got = measured("gpt2-tied", device);
  EXPECT_EQ(device.failures, 1);
  expect_equal(got, measured("gpt2-tied", cpu_backend()));
  EXPECT_TRUE(got.notes.empty());
}

TEST(ExecutorMemoryTest, GivesTheSizesWhereABlockDoesNotFit) {
  SmallDevice device;
  device.failing_loads = [](int load) { return load >= 2; };
  expect_refusal(device, {"small device", "block 1 of 3", "its weights take", "3.0 MiB are free",
                          "residual stream"});
}

}  // namespace
}  // namespace deadray
