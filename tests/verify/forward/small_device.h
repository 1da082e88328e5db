#pragma once

#include <c10/util/Exception.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "verify/device/backend.h"
#include "verify/device/channel.h"
#include "verify/device/factor.h"
#include "verify/numerics/eigh.h"

namespace deadray::test {

[[noreturn]] inline void run_out() {
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

}  // namespace deadray::test
