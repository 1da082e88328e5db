#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <exception>

#include "tests/gpu/device.h"

// Without a device nothing can be said: 77, which ctest shows as skipped. A device, a driver or a
// module that cannot be used is a failure.
int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  ::setenv("DEADRAY_KERNELS", DEADRAY_CUDA_MODULE, /*overwrite=*/0);
  try {
    if (deadray::testing::operations().device_count() == 0) {
      std::puts("skipped: no CUDA device");
      return 77;
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return RUN_ALL_TESTS();
}
