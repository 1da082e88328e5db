#include "verify/directional/directional_fisher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/verify/forward/model_fixture.h"
#include "verify/base/tensors.h"
#include "verify/directional/consumers.h"

// Against torch.func.jvp on transformers' models: tests/fixtures/make_fisher.py writes directions
// of its own drawing and F of each.
namespace deadray {
namespace {

using test::kModels;

/// One case of fisher64.safetensors.
struct Reference {
  ParameterDirection direction;
  std::string site;
  double fisher = 0;
};

ParameterDirection::Kind kind_of(const std::string& name) {
  using Kind = ParameterDirection::Kind;
  return name == "dead" ? Kind::dead : name == "weight_only" ? Kind::weight_only : Kind::random;
}

/// The move of a reference: of one consumer, or a shift of beta that several compensate.
template <class ReadVector>
std::variant<ConsumerMove, BetaShift> move_of(const nlohmann::json& entry,
                                              const ReadVector& vector) {
  const auto& moves = entry.at("moves");
  if (moves.at(0).at("through").is_null()) {
    const auto& move = moves.at(0);
    return ConsumerMove{move.at("consumer"), false, vector(move.at("u")), vector(move.at("r")),
                        move.at("s")};
  }
  BetaShift shift;
  const std::string norm = entry.at("norm");
  if (!norm.empty()) shift.norm = norm;
  shift.a = vector(moves.at(0).at("through"));
  for (const auto& move : moves)
    shift.compensations.push_back({move.at("consumer"), false, vector(move.at("r")), move.at("s")});
  return shift;
}

std::vector<Reference> read_references(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::uint64_t size = 0;
  file.read(reinterpret_cast<char*>(&size), sizeof size);
  std::string header(size, '\0');
  file.read(header.data(), static_cast<std::streamsize>(size));
  const std::string cases = nlohmann::json::parse(header).at("__metadata__").at("cases");
  const Checkpoint vectors = Checkpoint::open(path);
  const auto vector = [&](const nlohmann::json& name) {
    return name.is_null() ? at::Tensor() : test::read_tensor(vectors, name.get<std::string>());
  };
  std::vector<Reference> all;
  for (const auto& entry : nlohmann::json::parse(cases)) {
    Reference reference;
    reference.direction.kind = kind_of(entry.at("kind"));
    reference.direction.consumer = entry.at("consumer");
    reference.site = entry.at("site");
    reference.fisher = entry.at("fisher");
    reference.direction.move = move_of(entry, vector);
    all.push_back(std::move(reference));
  }
  return all;
}

std::vector<std::string> fixtures() {
  std::ifstream file(kModels / "index.json");
  std::vector<std::string> names;
  for (const auto& entry : nlohmann::json::parse(file)) names.push_back(entry.at("name"));
  return names;
}

class DirectionalFisherTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    model_ = prepare_model(kModels / GetParam(), {});
    calibration_ = test::calibration_of(
        *model_, Checkpoint::open(kModels / GetParam() / "reference64.safetensors"));
    references_ = read_references(kModels / GetParam() / "fisher64.safetensors");
    ASSERT_FALSE(references_.empty());
    kept_ = keep_streams(*model_, calibration_, at::kDouble, 0);
  }

  /// F of each reference, in their order. @param at_once  directions in one pass; 0: all
  std::vector<double> measured(std::size_t at_once = 0) const {
    std::vector<double> values(references_.size());
    for (const NormSite& site : model_->sites)
      for (const bool of_head : {false, true}) {
        std::vector<std::size_t> which;
        std::vector<ParameterDirection> directions;
        for (std::size_t i = 0; i < references_.size(); ++i) {
          if (references_[i].site != site.name ||
              is_decoder(*model_, references_[i].direction.consumer) != of_head)
            continue;
          which.push_back(i);
          directions.push_back(references_[i].direction);
        }
        if (directions.empty()) continue;
        const FisherPass pass{
            *model_, calibration_, kept_.streams, site.name, entry_block(*model_, site).value(),
            at_once};
        const DirectionalFisher fisher =
            of_head ? head_fisher(pass, directions) : hidden_fisher(pass, directions);
        for (std::size_t k = 0; k < which.size(); ++k) values[which[k]] = fisher.values[k];
      }
    return values;
  }
  bool is_claimed(const Reference& reference) const {
    return std::any_of(model_->sites.begin(), model_->sites.end(), [&](const NormSite& site) {
      return site.name == reference.site && site.kind == NormKind::layernorm;
    });
  }

  std::unique_ptr<Model> model_;
  Calibration calibration_;
  std::vector<Reference> references_;
  KeptStreams kept_;
};

// 1e-9: both carry FP64 derivatives through at most three blocks, some thousand roundings of 2^-53
// that a variance amplifies as often. What is dead has no relative accuracy: there both are
// rounding, below 1e-24 of the controls.
TEST_P(DirectionalFisherTest, EqualsTorchsForwardModeDerivativesOfTransformers) {
  const std::vector<double> values = measured();
  for (std::size_t i = 0; i < references_.size(); ++i) {
    const Reference& reference = references_[i];
    std::vector<double> controls;
    for (const Reference& other : references_)
      if (other.direction.consumer == reference.direction.consumer &&
          other.direction.kind == ParameterDirection::Kind::random)
        controls.push_back(other.fisher);
    const std::string what =
        reference.direction.consumer + " " + std::string(to_string(reference.direction.kind));
    ASSERT_FALSE(controls.empty()) << what;
    const double control = *std::max_element(controls.begin(), controls.end());
    if (reference.fisher < 1e-24 * control) {
      EXPECT_LT(values[i], 1e-24 * control) << what;
    } else {
      EXPECT_NE(reference.direction.kind == ParameterDirection::Kind::dead && is_claimed(reference),
                true)
          << what << ": torch finds " << reference.fisher
          << " where a LayerNorm's direction should be dead";
      EXPECT_NEAR(values[i] / reference.fisher, 1.0, 1e-9) << what;
    }
  }
}

// Directions do not see each other: only the order of the products' sums may differ, some hundred
// roundings of 2^-53.
class DirectionalFisherBatchTest : public DirectionalFisherTest {};
TEST_P(DirectionalFisherBatchTest, DoesNotDependOnHowManyAreCarriedAtOnce) {
  const std::vector<double> all = measured(), three = measured(3);
  for (std::size_t i = 0; i < all.size(); ++i)
    EXPECT_NEAR(three[i], all[i], 1e-12 * std::abs(all[i]) + 1e-30)
        << references_[i].direction.consumer;
}

std::string name_of(const testing::TestParamInfo<std::string>& instance) {
  std::string name = instance.param;
  for (char& c : name)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  return name;
}
INSTANTIATE_TEST_SUITE_P(Fixtures, DirectionalFisherTest, testing::ValuesIn(fixtures()), name_of);
INSTANTIATE_TEST_SUITE_P(DenseAndMixture, DirectionalFisherBatchTest,
                         testing::Values("gpt2-untied", "qwen3-moe"), name_of);

}  // namespace
}  // namespace deadray
