#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <malloc.h>

#include <algorithm>
#include <functional>

#include "kernels/operations/random_normal.h"
#include "verify/base/side_by_side.h"
#include "verify/device/backend.h"
#include "verify/device/channel.h"
#include "verify/device/factor.h"
#include "verify/device/softmax_variance.h"
#include "verify/numerics/bottom_eigh.h"
#include "verify/numerics/moments.h"
#include "verify/numerics/norm_rows.h"

namespace deadray {
namespace {

class CpuChannel final : public Channel {
 public:
  explicit CpuChannel(ChannelSpec spec) : norm_(std::move(spec.norm)) {
    if (spec.covariance) moments_.emplace(spec.hidden_size, spec.shift);
    if (spec.directions.defined()) directions_.emplace(spec.directions, spec.shift);
  }

  void reserve(const at::Tensor&) override {}

  void add(const at::Tensor& rows) override {
    const at::Tensor measured = norm_ ? recompute_norm(norm_->site, norm_->parameters, rows) : rows;
    if (moments_) moments_->add(measured);
    if (directions_) directions_->add(measured);
    count_ += rows.size(0);
  }

  RowMoments finish() override {
    RowMoments result{count_};
    if (moments_) {
      result.mean = moments_->mean();
      result.covariance = moments_->take_covariance();
    }
    if (directions_) {
      result.variance = directions_->variance();
      result.projected = directions_->mean();
    }
    return result;
  }

 private:
  std::optional<RecomputedNorm> norm_;
  std::optional<CentredMoments> moments_;
  std::optional<DirectionalMoments> directions_;
  std::int64_t count_ = 0;
};

class CpuFactor final : public Factor {
 public:
  explicit CpuFactor(at::Tensor lower) : lower_(std::move(lower)) {}
  at::Tensor solve(const at::Tensor& right) const override {
    const at::Tensor half =
        at::linalg_solve_triangular(lower_, right.unsqueeze(1), /*upper=*/false);
    return at::linalg_solve_triangular(lower_.t(), half, /*upper=*/true).squeeze(1);
  }

 private:
  at::Tensor lower_;  // column-major
};

/// Of a tridiagonalisation, or a factorisation, up to d = 1024 two threads gain a fifth at the
/// most, and beside another program they wait for each other, up to ten times as long. More threads
/// than a few were not measured: they are left as they are. A full decomposition gains more.
void on_threads_that_pay(const at::Tensor& matrix, const std::function<void()>& work) {
  constexpr std::int64_t kSmall = 1024;
  constexpr int kFew = 4;
  if (matrix.size(0) <= kSmall && at::get_num_threads() <= kFew)
    run_on_one_thread(work);
  else
    work();
}

class CpuBackend final : public Backend {
 public:
  at::Device device() const override { return at::kCPU; }
  std::string description() const override { return "cpu"; }
  std::optional<std::string> cuda_version() const override { return std::nullopt; }

  bool runs_side_by_side() const override { return true; }

  std::unique_ptr<Channel> make_channel(ChannelSpec spec) override {
    return std::make_unique<CpuChannel>(std::move(spec));
  }
  Eigendecomposition eigh(const at::Tensor& c) override { return deadray::eigh(c); }
  Eigendecomposition bottom_eigh(const at::Tensor& c, std::int64_t count) override {
    Eigendecomposition result;
    on_threads_that_pay(c, [&] { result = deadray::bottom_eigh(c, count); });
    return result;
  }
  std::unique_ptr<Factor> factor(const at::Tensor& work) override {
    at::Tensor lower = work.t(), info = at::empty({}, at::TensorOptions().dtype(at::kInt));
    at::linalg_cholesky_ex_out(lower, info, lower, /*upper=*/false, /*check_errors=*/false);
    return info.item<int>() == 0 ? std::make_unique<CpuFactor>(lower) : nullptr;
  }

  at::Tensor softmax_variance(const at::Tensor& h, const Decoder& decoder,
                              const at::Tensor& u) override {
    return deadray::softmax_variance(h, decoder, u);
  }

  // Loading ahead would take memory and cores from the computation.
  void load(const std::function<void()>& work) override { work(); }
  bool loads_ahead() const override { return false; }
  void random_normal(std::uint64_t seed, std::uint64_t stream, std::int64_t first, float deviation,
                     const at::Tensor& out) override {
    constexpr std::int64_t kPiece = std::int64_t{1} << 16;  // in FP32 it stays in the cache
    const at::Tensor flat = out.view({-1});
    run_single_threaded((flat.numel() + kPiece - 1) / kPiece, [&](std::int64_t piece) {
      const std::int64_t begin = piece * kPiece, n = std::min(kPiece, flat.numel() - begin);
      const at::Tensor place = flat.narrow(0, begin, n),
                       drawn = out.scalar_type() == at::kFloat ? place : at::empty({n}, at::kFloat);
      kernels::random_normal(seed, stream, first + begin, n, deviation, drawn.data_ptr<float>());
      if (!drawn.is_same(place)) place.copy_(drawn);
    });
  }
  void fill(const at::Tensor& out, const Reader& read) override {
    read(0, out.numel(), out.data_ptr());
  }

  void synchronize() override {}
  void release_unused() override {
#ifdef __GLIBC__
    ::malloc_trim(0);
#endif
  }
  void trim_heap() override { release_unused(); }
  std::size_t free_bytes() const override { return 0; }
};

}  // namespace

Backend& cpu_backend() {
  static CpuBackend backend;
  return backend;
}

}  // namespace deadray
