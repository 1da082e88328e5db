#include "verify/device/found_memory.h"

#include <gtest/gtest.h>

#include "host/base/error.h"

namespace deadray {
namespace {

using Kind = kernels::CudaError::Kind;

TEST(FoundMemoryTest, SaysWhetherTheDevicesMemorySufficed) {
  EXPECT_TRUE(found_memory([] {}));
  EXPECT_FALSE(found_memory([] { throw kernels::CudaError(Kind::out_of_memory, "x"); }));
  EXPECT_FALSE(found_memory(
      [] { throw c10::OutOfMemoryError({__func__, __FILE__, __LINE__}, "out of memory"); }));
}

TEST(FoundMemoryTest, PassesOnOtherFailures) {
  EXPECT_THROW(found_memory([] { throw InternalError("x"); }), InternalError);
  for (const Kind kind : {Kind::other, Kind::out_of_host_memory})
    EXPECT_THROW(found_memory([kind] { throw kernels::CudaError(kind, "x"); }), kernels::CudaError);
}

}  // namespace
}  // namespace deadray
