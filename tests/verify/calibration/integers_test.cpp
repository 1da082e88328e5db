#include "verify/calibration/integers.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <span>

#include "host/formats/safetensors_writer.h"
#include "tests/support/errors.h"
#include "tests/support/temporary_folder.h"

namespace deadray::test {
namespace {

class IntegersTest : public testing::Test {
 protected:
  Checkpoint file_of(DType dtype, const at::Tensor& values) const {
    const auto path = folder_.path() / "integers.safetensors";
    SafetensorsWriter writer(path, {{"ids", dtype, values.sizes().vec()}});
    writer.append(
        std::span(static_cast<const std::byte*>(values.const_data_ptr()), values.nbytes()));
    writer.finish();
    return Checkpoint::open(path);
  }

  std::string complaint(DType dtype, const at::Tensor& values, std::string_view shape) const {
    const Checkpoint file = file_of(dtype, values);
    return message_of(ExitCode::malformed, [&] { read_integers(file, "ids", shape); });
  }

  TemporaryFolder folder_;
  at::Tensor ids_ = at::tensor({1, -2, 3, 4, 5, 6}, at::kLong).view({2, 3});
};

TEST_F(IntegersTest, ReadsBothWidthsAsInt64) {
  const at::Tensor wide = read_integers(file_of(DType::i64, ids_), "ids", "[batch, sequence]");
  EXPECT_TRUE(wide.equal(ids_));
  const at::Tensor narrow =
      read_integers(file_of(DType::i32, ids_.to(at::kInt)), "ids", "[batch, sequence]");
  EXPECT_EQ(narrow.scalar_type(), at::kLong);
  EXPECT_TRUE(narrow.equal(ids_));
}

TEST_F(IntegersTest, RefusesAnotherTypeOrRank) {
  EXPECT_TRUE(contains(complaint(DType::f32, ids_.to(at::kFloat), "[batch, sequence]"),
                       "'ids' is F32 of rank 2, expected I64 or I32 [batch, sequence]"));
  EXPECT_TRUE(contains(complaint(DType::i64, ids_, "[pictures, patches, 2]"),
                       "'ids' is I64 of rank 2, expected I64 or I32 [pictures, patches, 2]"));
}

TEST_F(IntegersTest, ReadsAMaskOfAnyIntegerTypeOrBool) {
  const at::Tensor mask = at::tensor({1, 0, 0, 1, 1, 0}, at::kLong).view({2, 3});
  const std::pair<DType, at::ScalarType> types[] = {
      {DType::i64, at::kLong}, {DType::i32, at::kInt}, {DType::i16, at::kShort},
      {DType::i8, at::kChar},  {DType::u8, at::kByte}, {DType::boolean, at::kByte}};
  for (const auto& [stored, computed] : types)
    EXPECT_TRUE(read_mask(file_of(stored, mask.to(computed)), "ids").equal(mask.to(at::kBool)))
        << to_string(stored);
}

TEST_F(IntegersTest, NamesThePlaceOfAValueThatIsNoMasks) {
  const auto refusal = [&](DType dtype, const at::Tensor& values) {
    const Checkpoint file = file_of(dtype, values);
    return message_of(ExitCode::malformed, [&] { read_mask(file, "ids"); });
  };
  EXPECT_TRUE(
      contains(refusal(DType::i64, ids_), "'ids' is -2 at row 0, column 1, expected 0 or 1"));
  EXPECT_TRUE(contains(refusal(DType::boolean, ids_.to(at::kByte)), "is 254 at row 0, column 1"));
  EXPECT_TRUE(contains(refusal(DType::f32, ids_.to(at::kFloat)),
                       "is F32 of rank 2, expected integers or bools [batch, sequence]"));
}

}  // namespace
}  // namespace deadray::test
