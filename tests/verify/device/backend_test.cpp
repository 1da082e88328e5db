#include "verify/device/backend.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>

#include "tests/verify/forward/model_fixture.h"
#include "tests/verify/spectrum/spectra.h"
#include "verify/device/channel.h"
#include "verify/device/cuda_backend.h"
#include "verify/device/factor.h"
#include "verify/device/softmax_variance.h"
#include "verify/module/device_module.h"
#include "verify/numerics/eigh.h"
#include "verify/spectrum/certificate.h"
#include "verify/spectrum/residual_stream.h"
#include "verify/spectrum/schur.h"

// The device's backend against the CPU's, operation by operation; on a device or, with
// DEADRAY_KERNELS, on the emulation.
namespace deadray {
namespace {

using namespace testing;

class BackendTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { device_ = make_cuda_backend(0); }
  static void TearDownTestSuite() { device_.reset(); }
  static at::Tensor there(const at::Tensor& values) { return values.to(device_->device()); }

  inline static std::unique_ptr<Backend> device_;
};

struct Case {
  std::optional<NormKind> kind;  ///< absent: the rows as they are
  at::ScalarType type;
  std::int64_t rows, d;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const std::optional<NormKind> kind :
       {std::optional<NormKind>(), std::optional(NormKind::layernorm),
        std::optional(NormKind::rmsnorm)})
    for (const at::ScalarType type : {at::kFloat, at::kDouble, at::kBFloat16, at::kHalf})
      for (const auto& [rows, d] : {std::pair<std::int64_t, std::int64_t>{3, 1}, {50, 7}, {90, 65}})
        all.push_back({kind, type, rows, d});
  return all;
}

ChannelSpec spec_of(const Case& c) {
  ChannelSpec spec;
  spec.hidden_size = c.d;
  const at::Tensor directions = gaussian(3, c.d, 5);
  spec.directions = directions / directions.norm(2, {1}, true);
  spec.shift = gaussian(1, c.d, 6)[0];
  if (c.kind) {
    NormSite site;
    site.kind = *c.kind;
    site.hidden_size = c.d;
    site.eps = 1e-5;
    spec.norm = RecomputedNorm{site, {vector_of(gaussian(1, c.d, 7)[0]), {}}};
  }
  return spec;
}

RowMoments measured(Backend& backend, const ChannelSpec& spec, const at::Tensor& rows,
                    std::int64_t tile) {
  const auto channel = backend.make_channel(spec);
  for (std::int64_t first = 0; first < rows.size(0); first += tile)
    channel->add(rows.narrow(0, first, std::min(tile, rows.size(0) - first)).to(backend.device()));
  channel->add(rows.narrow(0, 0, 0).to(backend.device()));  // an empty tile changes nothing
  return channel->finish();
}

/// Largest difference, relative to the largest magnitude.
double difference(const at::Tensor& got, const at::Tensor& want) {
  return ((got.cpu() - want).abs().max() / want.abs().max().clamp_min(1e-300)).item<double>();
}

// Both sides sum N products of numbers of order 1 to 5 in FP64, in different orders: N + d
// roundings of 2^-53 and a few for the norm, some 1e-13 here, and a variance of the projections is
// a sum of squares just so.
TEST_F(BackendTest, MomentsAreTheCpusWhateverTheNormTypeAndTiles) {
  for (const Case& c : cases()) {
    const at::Tensor rows = (gaussian(c.rows, c.d, 8) * 1.5 + 2.0).to(c.type);
    const RowMoments want = measured(cpu_backend(), spec_of(c), rows, c.rows);
    if (c.kind && c.d == 1)
      continue;  // a norm leaves of one number its sign at most: rounding alone varies
    for (const std::int64_t tile : {c.rows, std::int64_t{c.d > 7 ? 40 : 17}}) {
      const RowMoments got = measured(*device_, spec_of(c), rows, tile);
      const std::string where = fmt::format("{} d {} tile {} norm {}", c10::toString(c.type), c.d,
                                            tile, c.kind ? static_cast<int>(*c.kind) : -1);
      EXPECT_EQ(got.count, c.rows);
      EXPECT_LT(difference(got.covariance, want.covariance), 1e-12) << where;
      EXPECT_LT(difference(got.mean, want.mean), 1e-12) << where;
      EXPECT_LT(difference(second_moment(got), second_moment(want)), 1e-12) << where;
      EXPECT_LT(difference(got.variance, want.variance), 1e-12) << where;
      EXPECT_TRUE(got.variance.device().is_cpu());
      EXPECT_TRUE(at::equal(got.covariance, got.covariance.t())) << where;
    }
  }
}

TEST_F(BackendTest, EqualRowsHaveExactlyNoCovarianceAndALargeMeanCostsNothing) {
  const at::Tensor row = gaussian(1, 20, 9) * 1e6;
  EXPECT_EQ(measured(*device_, {.hidden_size = 20}, row.expand({40, 20}).contiguous(), 13)
                .covariance.abs()
                .max()
                .item<double>(),
            0.0);
  const at::Tensor spread = gaussian(100, 20, 10);
  const RowMoments want = measured(cpu_backend(), {.hidden_size = 20}, spread, 100),
                   got = measured(*device_, {.hidden_size = 20}, spread + row, 30);
  EXPECT_LT(difference(got.covariance, want.covariance), 1e-9);  // 1e6 + x keeps x to 1e-10
}

TEST_F(BackendTest, WithoutCovarianceNothingOfThatSizeIsKept) {
  ChannelSpec spec = spec_of({std::nullopt, at::kFloat, 50, 7});
  spec.covariance = false;
  const RowMoments moments = measured(*device_, spec, gaussian(50, 7, 8), 20);
  EXPECT_FALSE(moments.covariance.defined());
  EXPECT_EQ(moments.variance.size(0), 3);
}

TEST_F(BackendTest, NoRowsGiveZeros) {
  const RowMoments moments =
      measured(*device_, spec_of({std::nullopt, at::kFloat, 0, 7}), at::empty({0, 7}), 1);
  EXPECT_EQ(moments.count, 0);
  EXPECT_EQ(moments.covariance.abs().max().item<double>(), 0.0);
  EXPECT_EQ(moments.variance.abs().max().item<double>(), 0.0);
}

TEST_F(BackendTest, RefusesRowsOfAnotherWidth) {
  EXPECT_THROW(device_->make_channel({.hidden_size = 3})->add(there(at::zeros({2, 4}))),
               InternalError);
}

// A perturbation moves no eigenvalue by more than its norm, spectra.h; the vectors are checked by
// what they rebuild.
TEST_F(BackendTest, EighRebuildsTheMatrixAndNamesItsDriver) {
  for (const std::int64_t d : {1, 7, 40})
    for (const Spectrum& s : hard_spectra(d)) {
      const at::Tensor c = with_spectrum(orthogonal(d, 11), s.values);
      const Eigendecomposition e = device_->eigh(there(c));
      EXPECT_NE(e.driver.find("cuSOLVER"), std::string::npos);
      EXPECT_LE((e.values.cpu() - s.values).abs().max().item<double>(), tolerance(s)) << s.name;
      const at::Tensor v = e.vectors.cpu(), rebuilt = (v * e.values.cpu().unsqueeze(0)).mm(v.t());
      EXPECT_LE((rebuilt - c).norm().item<double>(),
                30 * static_cast<double>(d) * kEps * c.norm().item<double>())
          << s.name;
      EXPECT_LE((v.t().mm(v) - at::eye(d, fp64())).norm().item<double>(),
                30 * static_cast<double>(d) * kEps)
          << s.name;
    }
}

// Covariances as verify meets them where rows are equal, where there are two, and under a dead
// direction: a result, or an error on which a program ends with exit code 6; either way the next
// calls on the same handles are right.
TEST_F(BackendTest, SingularCovariancesLeaveTheNextCallsRight) {
  const std::int64_t d = 40;
  const at::Tensor one = gaussian(1, d, 14), sound = gaussian(200, d, 15);
  const at::Tensor deaf = sound - sound.mean(1, /*keepdim=*/true);  // rank d - 1
  ChannelSpec spec;
  spec.hidden_size = d;
  const at::Tensor next = measured(*device_, spec, sound, 64).covariance.cpu();
  for (const at::Tensor& rows : {one.expand({50, d}).contiguous(), at::cat({one, 2 * one}), deaf}) {
    const at::Tensor c = measured(*device_, spec, rows, 64).covariance.cpu();
    for (const bool ends_here : {true, false}) {
      const at::Tensor& matrix = ends_here ? c : next;
      try {
        const Eigendecomposition e = device_->eigh(there(matrix));
        const at::Tensor v = e.vectors.cpu(), rebuilt = (v * e.values.cpu().unsqueeze(0)).mm(v.t());
        EXPECT_LE((rebuilt - matrix).norm().item<double>(),  // as eigh() demands of itself
                  30 * static_cast<double>(d) * kEps * matrix.norm().item<double>());
      } catch (const kernels::CudaError& error) {
        EXPECT_TRUE(ends_here && error.kind() == kernels::CudaError::Kind::unsolved)
            << error.what();
      }
    }
    device_->factor(there(c.clone()));  // one or none
    EXPECT_TRUE(device_->factor(there(next.clone())));
  }
}

// |A x - b| of a solve by the factor's inverse: some d u cond(A) |b|, here cond 100.
TEST_F(BackendTest, FactorSolvesAndSaysWhatIsNotDefinite) {
  for (const std::int64_t d : {1, 7, 70}) {
    const at::Tensor a = with_spectrum(orthogonal(d, 12), at::linspace(0.01, 1, d, fp64())),
                     b = gaussian(1, d, 13)[0];
    const auto factor = device_->factor(there(a.clone()));
    ASSERT_TRUE(factor);
    EXPECT_LE((a.mv(factor->solve(there(b)).cpu()) - b).norm().item<double>(),
              1e-11 * b.norm().item<double>())
        << d;
  }
  EXPECT_FALSE(device_->factor(there(at::eye(5, fp64()) * -1)));
}

// The certificate's promise is 1e-4 of the next eigenvalue; the others are known to the rounding of
// the factors.
TEST_F(BackendTest, CertificateSchurRatioAndResidualStreamAreTheCpus) {
  const std::int64_t d = 60;
  const at::Tensor q = orthogonal(d, 14), values = at::linspace(0.5, 2, d, fp64());
  values[0].zero_();
  const at::Tensor c = with_spectrum(q, values), p = q.narrow(1, 0, 1).contiguous(),
                   v = q.select(1, 3) * 0.8 + q.select(1, 5) * 0.6;
  const Certificate want = certify(c, p), got = certify(there(c), there(p), 100, *device_);
  EXPECT_NEAR(got.next, want.next, 1e-4 * want.next);
  EXPECT_EQ(got.proven > 0, want.proven > 0);
  EXPECT_TRUE(got.factored);
  const at::Tensor definite = c + p.mm(p.t());
  EXPECT_NEAR(*schur_ratio(there(definite), there(v), *device_), *schur_ratio(definite, v), 1e-12);
  ASSERT_TRUE(schur_ratio(there(c), there(v), *device_)
                  .has_value());  // singular: by the eigendecomposition
  EXPECT_NEAR(*schur_ratio(there(c), there(v), *device_), *schur_ratio(c, v), 1e-9);

  const at::Tensor x = gaussian(200, 20, 15) + 1.0;
  ResidualStream here, away(*device_);
  here.add(x);
  away.add(there(x));
  EXPECT_NEAR(away.finish().centred[0], here.finish().centred[0], 1e-4 * here.finish().centred[0]);
  EXPECT_NEAR(away.finish().uncentred[0], here.finish().uncentred[0],
              1e-4 * here.finish().uncentred[0]);
}

TEST_F(BackendTest, NormalsAreTheCpusBitForBit) {
  const at::Tensor want = at::empty({1001}, at::kFloat), got = there(at::empty({1001}, at::kFloat));
  cpu_backend().random_normal(3, 4, 10, 0.02F, want);
  device_->random_normal(3, 4, 10, 0.02F, got);
  EXPECT_TRUE(at::equal(got.cpu(), want));
}

// What libtorch keeps of a tensor that is gone is free to the next one. Others on the device may
// move the figure, by less than half of this.
TEST_F(BackendTest, FreeMemoryIsWhatTensorsCanHave) {
  if (device_->device().is_cpu()) GTEST_SKIP() << "on the emulation tensors are the host's";
  const std::int64_t bytes = std::int64_t{1} << 30;
  device_->synchronize();
  const auto before = static_cast<std::int64_t>(device_->free_bytes());
  at::Tensor tensor = there(at::empty({1})).new_empty({bytes / 4});
  EXPECT_LT(static_cast<std::int64_t>(device_->free_bytes()), before - bytes / 2);
  tensor.reset();
  EXPECT_GT(static_cast<std::int64_t>(device_->free_bytes()), before - bytes / 2);
}

// 70 MiB: more pieces than there are buffers; then a small tensor in the same buffers.
TEST_F(BackendTest, FillPutsEveryPieceInItsPlace) {
  for (const std::int64_t n : {std::int64_t{70} << 17, std::int64_t{5}}) {
    const at::Tensor out = there(at::empty({n}, fp64())), want = at::arange(n, fp64());
    device_->load([&] {
      device_->fill(out, [&](std::int64_t first, std::int64_t count, void* to) {
        std::memcpy(to, want.const_data_ptr<double>() + first,
                    static_cast<std::size_t>(count) * sizeof(double));
      });
    });
    EXPECT_TRUE(at::equal(out.cpu(), want)) << n;
  }
}

/// A stream as late as one can be: a copy is made when somebody waits for it.
struct LateStream {
  struct Copy {
    void* to;
    const void* from;
    std::size_t bytes;
  };
  inline static std::vector<Copy> copies;
  inline static std::size_t done = 0;
  inline static std::map<kernels::Event, std::size_t> marks;

  static void copy(void* to, const void* from, std::size_t bytes, kernels::Stream) {
    copies.push_back({to, from, bytes});
  }
  static void record(kernels::Event event, kernels::Stream) { marks[event] = copies.size(); }
  static void wait_for_event(kernels::Event event) { make(marks[event]); }
  static void wait(kernels::Stream) { make(copies.size()); }
  static void make(std::size_t count) {
    for (; done < count; ++done)
      std::memcpy(copies[done].to, copies[done].from, copies[done].bytes);
  }
};

// Five pieces: while one is read, the copy of the one before is on its way, and no other.
TEST_F(BackendTest, FillReadsAPieceWhileTheOneBeforeIsCopied) {
  if (!device_->device().is_cpu())
    GTEST_SKIP() << "only over the emulation can copies be made late";
  static kernels::CudaOperations operations = operations_of_device(0);
  operations.copy = &LateStream::copy;
  operations.record_event = &LateStream::record;
  operations.synchronize_event = &LateStream::wait_for_event;
  operations.synchronize = &LateStream::wait;
  const auto backend = make_cuda_backend(operations, at::kCPU, 0);
  const std::int64_t n = std::int64_t{130} << 17;
  const at::Tensor out = at::empty({n}, fp64()), want = at::arange(n, fp64());
  std::vector<std::size_t> on_their_way;
  backend->fill(out, [&](std::int64_t first, std::int64_t count, void* to) {
    on_their_way.push_back(LateStream::copies.size() - LateStream::done);
    std::memcpy(to, want.const_data_ptr<double>() + first,
                static_cast<std::size_t>(count) * sizeof(double));
  });
  EXPECT_EQ(on_their_way, (std::vector<std::size_t>{0, 1, 1, 1, 1}));
  EXPECT_TRUE(at::equal(out, want));
}

// Weights on the device, the next block read ahead: the same forward pass. Bit for bit where
// libtorch computes on the CPU as well; else FP32's 2^-24 times some hundred roundings, as
// executor_test.cpp has it.
TEST_F(BackendTest, TheForwardPassIsTheCpusFromFilesAndAtRandom) {
  const auto run = [](const std::string& name, bool random, Backend& backend) {
    const auto model = prepare_model(test::kModels / name, {random, 7, {}, &backend});
    test::Recorder recorder(test::last_norms(*model));
    Executor(model->architecture, *model->weights, {at::kFloat, 40, false})
        .run(random_tokens(model->architecture, 1, 6, 16), recorder);
    return std::pair(recorder.residuals.back().cpu(), recorder.final_output().cpu());
  };
  const double tolerance = device_->device().is_cpu() ? 0.0 : 1e-5;
  for (const char* name : {"gpt2-tied", "gpt2-bfloat16", "bert-pooler", "llama-gqa-tied"})
    for (const bool random : {false, true}) {
      const auto want = run(name, random, cpu_backend()), got = run(name, random, *device_);
      EXPECT_LE(test::relative_error(got.first, want.first), tolerance) << name << random;
      EXPECT_LE(test::relative_error(got.second, want.second), tolerance) << name << random;
    }
}

}  // namespace
}  // namespace deadray
