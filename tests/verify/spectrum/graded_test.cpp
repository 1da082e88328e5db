#include "verify/spectrum/graded.h"

#include <gtest/gtest.h>

#include "tests/verify/spectrum/spectra.h"

namespace deadray {
namespace {

using namespace testing;

constexpr std::int64_t kWidth = 24;

/// (1 - 11^T/d) d/(d-1): unit diagonal, null along 1, every other eigenvalue d/(d-1).
at::Tensor correlation() {
  return (at::eye(kWidth, fp64()) - at::full({kWidth, kWidth}, 1.0 / kWidth, fp64())) *
         (kWidth / (kWidth - 1.0));
}

/// Deviations over 10 powers of ten: variances over 20, more than a double resolves beside another.
at::Tensor deviations() { return at::pow(10.0, at::linspace(4, -6, kWidth, fp64())); }

at::Tensor covariance() { return correlation() * at::outer(deviations(), deviations()); }

TEST(ToUnitVariancesTest, UndoesAnyScaleOfTheCoordinates) {
  const Graded graded = to_unit_variances(covariance());
  EXPECT_EQ(graded.n_zero, 0);
  // Each entry: a product of three, two roots and two divisions.
  EXPECT_LE((graded.matrix - correlation()).abs().max().item<double>(), 8 * kEps);
  EXPECT_TRUE(at::equal(graded.matrix, graded.matrix.t()));
  EXPECT_TRUE(at::equal(graded.matrix.diagonal(), at::ones({kWidth}, fp64())));
}

TEST(ToUnitVariancesTest, FindsAnEigenvalueThatRoundingOfTheCovarianceDrowns) {
  const at::Tensor c = covariance(), plain = at::linalg_eigvalsh(c),
                   scaled = at::linalg_eigvalsh(to_unit_variances(c).matrix);
  EXPECT_LT(plain[1].item<double>(), kWidth * kEps * plain[kWidth - 1].item<double>())
      << "the control";
  // Weyl: off by the norm of the entries' errors, 8 eps d at most, and the driver's own d eps.
  EXPECT_NEAR(scaled[0].item<double>(), 0, 10 * kWidth * kEps);
  EXPECT_NEAR(scaled[1].item<double>(), kWidth / (kWidth - 1.0), 10 * kWidth * kEps);
}

TEST(ToUnitVariancesTest, LeavesOutWhatDoesNotVary) {
  at::Tensor c = covariance();
  for (const std::int64_t i : {2, 9}) c.select(0, i).zero_(), c.select(1, i).zero_();
  const Graded graded = to_unit_variances(c);
  EXPECT_EQ(graded.n_zero, 2);
  EXPECT_EQ(graded.matrix.size(0), kWidth - 2);
  EXPECT_EQ(graded.live[2].item<std::int64_t>(), 3);
}

TEST(BasisOfUnitVariancesTest, TakesANullDirectionToTheNullDirection) {
  const Graded graded = to_unit_variances(covariance());
  const at::Tensor null = 1 / deviations();
  const auto basis = basis_of_unit_variances(graded, (null / null.norm()).unsqueeze(1));
  ASSERT_TRUE(basis);
  // 1/sqrt(d) in each entry, after two products and a root.
  EXPECT_LE((basis->abs() - 1 / std::sqrt(double{kWidth})).abs().max().item<double>(), 8 * kEps);
  const at::Tensor back = columns_of_covariance(graded, *basis).squeeze(1);
  EXPECT_NEAR(std::abs((back / back.norm()).dot(null / null.norm()).item<double>()), 1,
              kWidth * kEps);
}

TEST(BasisOfUnitVariancesTest, WantsACoordinateWithoutVarianceToBeExplained) {
  at::Tensor c = covariance();
  for (const std::int64_t i : {2, 9}) c.select(0, i).zero_(), c.select(1, i).zero_();
  const Graded graded = to_unit_variances(c);
  const at::Tensor unit = at::eye(kWidth, fp64());
  const auto columns = [&](std::vector<std::int64_t> which) {
    return unit.index_select(1, at::tensor(which, at::kLong));
  };
  EXPECT_FALSE(basis_of_unit_variances(graded, columns({2})));
  EXPECT_FALSE(basis_of_unit_variances(graded, columns({2, 5})));
  EXPECT_EQ(basis_of_unit_variances(graded, columns({2, 9}))->size(1), 0);
  // Turned among themselves the columns span the same.
  const at::Tensor turned = columns({2, 5, 9}).mm(orthogonal(3, 41));
  const auto rest = basis_of_unit_variances(graded, turned);
  ASSERT_TRUE(rest);
  ASSERT_EQ(rest->size(1), 1);
  EXPECT_NEAR(std::abs((*rest)[4][0].item<double>()), 1, kWidth * kEps)
      << "e_5, the fifth that varies";
  EXPECT_EQ(columns_of_covariance(graded, *rest).size(1), 3);
}

}  // namespace
}  // namespace deadray
