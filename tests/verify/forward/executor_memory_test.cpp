#include <c10/util/Exception.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "host/base/error.h"
#include "tests/verify/forward/model_fixture.h"
#include "verify/device/channel.h"
#include "verify/device/factor.h"
#include "verify/numerics/eigh.h"

// What the executor does where a device's memory runs out. The device is a CPU backend that refuses
// to have much of it.
namespace deadray {
namespace {

[[noreturn]] void run_out() {
  throw c10::OutOfMemoryError({__func__, __FILE__, __LINE__}, "out of memory");
}

/// The CPU's backend, but reserve() fails for tiles of more than `most_rows`, and load() where
/// `failing_loads` says so.
class SmallDevice final : public Backend {
 public:
  std::int64_t most_rows = 1 << 30;
  std::function<bool(int load)> failing_loads = [](int) { return false; };
  int failures = 0;

  at::Device device() const override { return at::kCPU; }
  std::string description() const override { return "small device"; }
  std::optional<std::string> cuda_version() const override { return std::nullopt; }
  std::unique_ptr<Channel> make_channel(ChannelSpec spec) override {
    return std::make_unique<SmallChannel>(*this, cpu_backend().make_channel(std::move(spec)));
  }
  Eigendecomposition eigh(const at::Tensor& c) override { return cpu_backend().eigh(c); }
  std::unique_ptr<Factor> factor(const at::Tensor& work) override {
    return cpu_backend().factor(work);
  }
  void load(const std::function<void()>& work) override {
    if (failing_loads(loads_++)) {
      ++failures;
      run_out();
    }
    work();
  }
  bool loads_ahead() const override { return true; }
  void random_normal(std::uint64_t seed, std::uint64_t stream, std::int64_t first, float deviation,
                     const at::Tensor& out) override {
    cpu_backend().random_normal(seed, stream, first, deviation, out);
  }
  void fill(const at::Tensor& out, const Reader& read) override { cpu_backend().fill(out, read); }
  void synchronize() override {}
  void release_unused() override {}
  void trim_heap() override {}
  at::Tensor softmax_variance(const at::Tensor& h, const Decoder& decoder,
                              const at::Tensor& u) override {
    return cpu_backend().softmax_variance(h, decoder, u);
  }
  std::size_t free_bytes() const override { return 3 << 20; }

 private:
  class SmallChannel final : public Channel {
   public:
    SmallChannel(SmallDevice& device, std::unique_ptr<Channel> channel)
        : device_(device), channel_(std::move(channel)) {}
    void reserve(const at::Tensor& rows) override {
      if (rows.size(0) > device_.most_rows) {
        ++device_.failures;
        run_out();
      }
    }
    void add(const at::Tensor& rows) override { channel_->add(rows); }
    RowMoments finish() override { return channel_->finish(); }

   private:
    SmallDevice& device_;
    std::unique_ptr<Channel> channel_;
  };
  int loads_ = 0;
};

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
