#include "verify/measure/measurement.h"

#include <gtest/gtest.h>

#include <bit>
#include <map>
#include <set>

#include "host/architecture/norm_parameters.h"
#include "tests/support/small_model.h"
#include "tests/verify/spectrum/spectra.h"
#include "verify/base/dtypes.h"
#include "verify/calibration/tokens.h"
#include "verify/forward/executor.h"

namespace deadray {
namespace {

using namespace testing;
using namespace test;

/// A GPT-2 with fewer words and positions together than dimensions.
struct ThinModel {
  std::int64_t words = 20, positions = 24;
  static constexpr std::int64_t kWidth = 64;
  std::string config() const {
    return fmt::format(
        R"({{"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": {}, "n_head": 4,
            "n_layer": 2, "n_positions": {}, "vocab_size": {}}})",
        kWidth, positions, words);
  }
};

/// The rows that enter each norm in one forward pass, in FP64.
class Inputs final : public Observer {
 public:
  bool wants(const std::string&) override { return true; }
  void norm(const std::string& site, const at::Tensor& input, const at::Tensor&) override {
    tiles_[site].push_back(input.to(at::kDouble, /*non_blocking=*/false, /*copy=*/true));
  }
  at::Tensor of(const std::string& site) const { return at::cat(tiles_.at(site)); }

 private:
  std::map<std::string, std::vector<at::Tensor>> tiles_;
};

/// rank(P X D_gamma) from the singular values of the rows, never of a Gram. They must fall by a
/// clear gap from what a direction has to what the pass's rounding leaves.
std::int64_t rank_of(const at::Tensor& x, const at::Tensor& gamma, double roundoff) {
  const at::Tensor sigma = at::linalg_svdvals((x - x.mean(1, true)) * gamma);
  // A residual stream is a sum of some dozen rounded terms.
  const double noise = 32 * roundoff * sigma[0].item<double>();
  const auto rank = (sigma > noise).sum().item<std::int64_t>();
  EXPECT_GT(sigma[rank - 1].item<double>(), 10 * noise) << "no gap";
  return rank;
}

Measurement measured(const Model& model, const Calibration& calibration, Method method,
                     DType dtype) {
  MeasurementOptions options;
  options.site = "all";
  options.residual = true;
  options.probe.method = method;
  options.probe.dtype = dtype;
  return measure(model, calibration, options);
}

class InheritedByAModelTest
    : public ::testing::TestWithParam<std::tuple<std::int64_t, std::int64_t, DType>> {};

TEST_P(InheritedByAModelTest, IsConfirmedAtEveryNormWithTheRankOfItsInput) {
  const auto [words, positions, dtype] = GetParam();
  const ThinModel thin{words, positions};
  const TemporaryFolder folder;
  write_text(folder.path() / "config.json", thin.config());
  ModelOptions drawn;
  drawn.random = true;
  const auto model = prepare_model(folder.path(), drawn);
  const Calibration calibration = random_tokens(model->architecture, 3, 60, positions);
  Inputs inputs;
  Executor(model->architecture, *model->weights, {scalar_type(dtype)}).run(calibration, inputs);

  for (const Method method : {Method::eigh, Method::certificate}) {
    const Measurement result = measured(*model, calibration, method, dtype);
    ASSERT_EQ(result.sites.size(), 5U);
    for (const SiteResult& site : result.sites) {
      SCOPED_TRACE(fmt::format("{} {}", to_string(method), site.site.name));
      EXPECT_EQ(site.judgement.verdict, Verdict::confirmed) << site.judgement.reason;
      const at::Tensor gamma = tensor_of(norm_parameters(model->stored(), site.site).gamma);
      const std::int64_t rank = rank_of(inputs.of(site.site.name), gamma, unit_roundoff(dtype));
      EXPECT_EQ(site.inherited, thin.kWidth - rank - site.predicted.dimension);
      if (site.site.name == "h.0.ln_1") {
        EXPECT_EQ(rank, words + positions - 1);
      }
      const auto& cosines = site.exact->principal_cosines;
      ASSERT_EQ(cosines.size(), static_cast<std::size_t>(1 + site.inherited));
      for (const double cosine : cosines) EXPECT_GE(cosine, kSameDirection);
    }
    ASSERT_TRUE(result.residual->rank);
    EXPECT_EQ(*result.residual->rank, words + positions - 1);
    EXPECT_TRUE(result.residual->preserved) << result.residual->reason;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, InheritedByAModelTest,
                         ::testing::Combine(::testing::Values(20, 8), ::testing::Values(24, 9),
                                            ::testing::Values(DType::f32, DType::f64)));

/// Row k of Sylvester's Hadamard matrix: entries 1 and -1, orthogonal to every other row.
std::vector<float> hadamard_row(unsigned k) {
  std::vector<float> row(ThinModel::kWidth);
  for (unsigned i = 0; i < row.size(); ++i) row[i] = std::popcount(k & i) % 2 == 0 ? 1.0F : -1.0F;
  return row;
}

SmallTensor hadamard_rows(unsigned first, std::int64_t count) {
  SmallTensor table{{count, ThinModel::kWidth}, {}};
  for (std::int64_t k = 0; k < count; ++k) {
    const auto row = hadamard_row(first + static_cast<unsigned>(k));
    table.values.insert(table.values.end(), row.begin(), row.end());
  }
  return table;
}

/// All weights of a ThinModel, its words and positions rows of a Hadamard matrix.
SmallTensors hadamard_gpt2(const ThinModel& thin) {
  constexpr std::int64_t d = ThinModel::kWidth;
  SmallTensors tensors;
  unsigned seed = 0;
  const auto vector = [&](const std::string& name, std::int64_t size, float offset = 0.0F) {
    tensors[name] = random_tensor({size}, ++seed, offset);
  };
  const auto linear = [&](const std::string& name, std::int64_t inputs, std::int64_t outputs) {
    tensors[name + ".weight"] = random_tensor({inputs, outputs}, ++seed);
    vector(name + ".bias", outputs);
  };
  const auto norm = [&](const std::string& name) {
    vector(name + ".weight", d, 1.0F);
    vector(name + ".bias", d);
  };
  for (const std::string block : {"h.0.", "h.1."}) {
    norm(block + "ln_1");
    norm(block + "ln_2");
    linear(block + "attn.c_attn", d, 3 * d);
    linear(block + "attn.c_proj", d, d);
    linear(block + "mlp.c_fc", d, 4 * d);
    linear(block + "mlp.c_proj", 4 * d, d);
  }
  norm("ln_f");
  tensors["wte.weight"] = hadamard_rows(1, thin.words);  // row 0 is 1: a LayerNorm takes it off
  tensors["wpe.weight"] = hadamard_rows(1 + static_cast<unsigned>(thin.words), thin.positions);
  return tensors;
}

// Every row of words and positions has mean 0 and the same length, to the last bit. So the norm
// divides all rows by one number, and <w, h> is 1 for the w that is 1 on every word: a null
// direction of the output that is none of the input.
TEST(MeasurementTest, DoesNotDecideWhereOneNullDirectionHasNoExplanation) {
  const ThinModel thin;
  const TemporaryFolder folder;
  write_small_gpt2(folder.path(), hadamard_gpt2(thin), thin.config());
  const auto model = prepare_model(folder.path(), {});
  const Calibration calibration = random_tokens(model->architecture, 3, 60, thin.positions);
  for (const Method method : {Method::eigh, Method::certificate})
    for (const SiteResult& site : measured(*model, calibration, method, DType::f32).sites) {
      SCOPED_TRACE(fmt::format("{} {}", to_string(method), site.site.name));
      if (site.site.name != "h.0.ln_1") {
        EXPECT_EQ(site.judgement.verdict, Verdict::confirmed) << site.judgement.reason;
        continue;
      }
      EXPECT_EQ(site.judgement.verdict, Verdict::undetermined) << site.judgement.reason;
      EXPECT_EQ(site.inherited, thin.kWidth - (thin.words + thin.positions - 1) - 1);
      if (method == Method::eigh) {
        EXPECT_EQ(site.exact->dimension, 1 + site.inherited + 1);
      }
    }
}

}  // namespace
}  // namespace deadray
