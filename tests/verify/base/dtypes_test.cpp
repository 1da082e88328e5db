#include "verify/base/dtypes.h"

#include <gtest/gtest.h>

#include "host/base/error.h"

namespace deadray {
namespace {

TEST(DtypesTest, EveryNameLeadsBackToItsType) {
  for (const DType dtype : {DType::f64, DType::f32, DType::f16, DType::bf16}) {
    EXPECT_EQ(dtype_of(scalar_type(dtype)), dtype);
    EXPECT_EQ(c10::elementSize(scalar_type(dtype)), size_of(dtype));
  }
}

TEST(DtypesTest, PeopleAndRecordsUseLongNames) {
  EXPECT_EQ(long_name(DType::f64), "float64");
  EXPECT_EQ(long_name(DType::f32), "float32");
  EXPECT_EQ(long_name(DType::f16), "float16");
  EXPECT_EQ(long_name(DType::bf16), "bfloat16");
}

TEST(DtypesTest, NothingElseIsTakenForFloat32) {
  for (const DType dtype :
       {DType::i64, DType::i8, DType::f8_e4m3, DType::boolean, DType::unknown}) {
    EXPECT_THROW(scalar_type(dtype), InternalError);
    EXPECT_THROW(long_name(dtype), InternalError);
  }
  EXPECT_THROW(dtype_of(at::kLong), InternalError);
  EXPECT_THROW(element_type(at::kHalf), InternalError);
  EXPECT_THROW(element_type(at::kInt), InternalError);
}

}  // namespace
}  // namespace deadray
