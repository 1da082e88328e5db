#include "kernels/module/cuda_operations.h"

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <string>

#include "build_identity.h"

namespace deadray::kernels {
namespace {

TEST(CudaOperationsTest, LoadsWithoutADevice) {
  const CudaOperations& operations = load_cuda_operations(DEADRAY_CUDA_MODULE);
  EXPECT_EQ(&operations, &load_cuda_operations(DEADRAY_CUDA_MODULE));
}

TEST(CudaOperationsTest, WorkspaceGrowsWithTheDirections) {
  const CudaOperations& operations = load_cuda_operations(DEADRAY_CUDA_MODULE);
  EXPECT_GE(operations.directional_variance_workspace(1), sizeof(RunningMoments));
  EXPECT_EQ(operations.directional_variance_workspace(2),
            2 * operations.directional_variance_workspace(1));
  EXPECT_EQ(operations.directional_variance_workspace(32),
            operations.directional_variance_workspace(8));  // eight at a time
}

TEST(CudaOperationsTest, MomentsNeedATileAtMost) {
  const CudaOperations& operations = load_cuda_operations(DEADRAY_CUDA_MODULE);
  EXPECT_EQ(operations.add_moments_workspace(0, 4096), 0U);
  EXPECT_EQ(operations.add_moments_workspace(2, 4096) - operations.add_moments_workspace(1, 4096),
            8 * 4096U);
  EXPECT_EQ(operations.add_moments_workspace(1'000'000'000, 4096),
            operations.add_moments_workspace(1'000'000, 4096));
}

TEST(CudaOperationsTest, ModuleOfAnotherBuildIsRefused) {
  void* module = dlopen(DEADRAY_CUDA_MODULE, RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(module, nullptr) << dlerror();
  const auto entry = reinterpret_cast<CudaOperationsEntry*>(dlsym(module, kCudaOperationsEntry));
  ASSERT_NE(entry, nullptr);
  EXPECT_NE(entry(sizeof(CudaOperations), kBuildIdentity), nullptr);
  EXPECT_EQ(entry(sizeof(CudaOperations) - 1, kBuildIdentity), nullptr);
  EXPECT_EQ(entry(sizeof(CudaOperations), kBuildIdentity ^ 1), nullptr)
      << "the same size says nothing of what structs hold";
}

TEST(CudaOperationsTest, MissingModuleIsNamed) {
  try {
    load_cuda_operations("/nowhere/libdeadray_cuda.so");
    FAIL() << "loaded what does not exist";
  } catch (const CudaError& error) {
    EXPECT_NE(std::string(error.what()).find("/nowhere/libdeadray_cuda.so"), std::string::npos)
        << error.what();
  }
}

// The one error that can be had on purpose everywhere but on a device; it crosses the module's
// border as its own type.
TEST(CudaOperationsTest, CallWithoutADeviceNamesOperationShapesAndStatus) {
  const CudaOperations& operations = load_cuda_operations(DEADRAY_CUDA_MODULE);
  if (operations.device_count() > 0) GTEST_SKIP() << "there is a device here";
  try {
    operations.random_normal(1, 2, 3, 1, 1.0f, nullptr, nullptr);
    FAIL() << "ran without a device";
  } catch (const CudaError& error) {
    const std::string what = error.what();
    EXPECT_EQ(error.kind(), CudaError::Kind::no_device) << what;
    for (const char* part :
         {"random_normal[first=3, count=1]", "no device", "launch", "cudaError"}) {
      EXPECT_NE(what.find(part), std::string::npos) << what;
    }
    EXPECT_EQ(what.find('\n'), std::string::npos);
  }
}

}  // namespace
}  // namespace deadray::kernels
