#include "kernels/cuda/cuda_context.h"

#include <gtest/gtest.h>

#include <optional>

#include "tests/gpu/device.h"
#include "tests/support/variable.h"

namespace deadray::kernels {
namespace {

using namespace deadray::testing;
using test::Variable;

/// What f throws.
template <class F>
std::optional<CudaError> failure(F&& f) {
  try {
    f();
  } catch (const CudaError& error) {
    return error;
  }
  return std::nullopt;
}

/// What only the emulation can play: a system on which CUDA does not start, by cudaError_t's
/// numbers; memory that runs out.
class CudaFaultTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!emulated()) GTEST_SKIP() << "only the emulation goes wrong on purpose";
  }
  static std::optional<CudaError> failure_to_start(int status) {
    const Variable start("DEADRAY_SIMT_STATUS", std::to_string(status));
    return failure([] { operations().device_count(); });
  }
};

constexpr int kInsufficientDriver = 35, kNoDevice = 100, kSystemNotReady = 802;

TEST_F(CudaFaultTest, NoDeviceAndNoDriverAreNoFailure) {
  for (const int status : {kNoDevice, kInsufficientDriver}) {
    const Variable start("DEADRAY_SIMT_STATUS", std::to_string(status));
    EXPECT_EQ(operations().device_count(), 0) << status;
  }
  EXPECT_EQ(operations().device_count(), 1);
}

TEST_F(CudaFaultTest, ADeviceThatCannotBeUsedIsAFailureInCudasOwnWords) {
  const auto error = failure_to_start(kSystemNotReady);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind(), CudaError::Kind::no_device);
  const std::string what = error->what();
  EXPECT_NE(
      what.find("cudaGetDeviceCount gave cudaErrorSystemNotReady: system not yet initialized"),
      std::string::npos)
      << what;
  EXPECT_EQ(what.find('\n'), std::string::npos);

  const Variable driver("DEADRAY_SIMT_DRIVER", "12020");
  EXPECT_TRUE(failure_to_start(kInsufficientDriver)) << "a driver is here, but too old";
}

// Whoever cannot start CUDA can do something about it; what else goes wrong is not explained away.
TEST_F(CudaFaultTest, FailuresToStartAreOfOneKind) {
  for (const int status : {3, 34, kSystemNotReady, 803, 804}) {
    const auto error = failure_to_start(status);
    ASSERT_TRUE(error) << status;
    EXPECT_EQ(error->kind(), CudaError::Kind::no_device) << status;
  }
  const auto unknown = failure_to_start(999);
  ASSERT_TRUE(unknown);
  EXPECT_EQ(unknown->kind(), CudaError::Kind::other);
}

TEST_F(CudaFaultTest, TheHostsMemoryIsNotTheDevices) {
  const Variable host("DEADRAY_SIMT_HOST_MEMORY", "1000"), device("DEADRAY_SIMT_MEMORY", "2000");
  const auto want_of = [](std::size_t bytes, bool of_host) {
    return failure([&] { operations().release(operations().allocate(bytes, of_host), of_host); });
  };
  EXPECT_FALSE(want_of(1000, true));
  EXPECT_FALSE(want_of(2000, false));
  const auto host_error = want_of(1001, true), device_error = want_of(2001, false);
  ASSERT_TRUE(host_error && device_error);
  EXPECT_EQ(host_error->kind(), CudaError::Kind::out_of_host_memory);
  EXPECT_NE(std::string(host_error->what()).find("allocate[bytes=1001]"), std::string::npos)
      << host_error->what();
  EXPECT_EQ(device_error->kind(), CudaError::Kind::out_of_memory);
}

TEST_F(CudaFaultTest, OnlyADeviceThatIsThereCanBeUsed) {
  operations().use_device(0);
  const auto error = failure([] { operations().use_device(operations().device_count()); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind(), CudaError::Kind::no_device) << error->what();
}

// Covariances keep their digits whatever the environment allows a library to give up.
TEST(CudaContextTest, ProductsInFp64AreNotEmulated) {
  const Variable asked("CUBLAS_EMULATE_DOUBLE_PRECISION", "1");
  cuda::Context* const context = operations().create_context(0);  // reads the environment anew
  EXPECT_FALSE(operations().emulates_fp64(*context));
  operations().destroy_context(context);
}

// cudaStreamPerThread is the handle 2. Xsyevd of CUDA 12 gives wrong results on it.
TEST(CudaContextTest, TheSolverNeverGetsThePerThreadStream) {
  DeviceContext context;
  const std::size_t bytes = operations().eigh_workspace(context, 2);
  DeviceArray<double> matrix(std::vector<double>{2, 0, 0, 1}), values(2);
  DeviceArray<unsigned char> workspace(bytes);
  const auto error = failure([&] {
    operations().eigh(context, matrix.data(), 2, values.data(), workspace.data(), bytes,
                      reinterpret_cast<Stream>(2));
  });
  ASSERT_TRUE(error);
  EXPECT_NE(std::string(error->what()).find("cudaStreamPerThread"), std::string::npos);
}

TEST(CudaEventTest, IsWaitedForOnceRecordedAndNotBefore) {
  const DeviceContext context;  // makes the device current
  const Event event = operations().create_event();
  operations().synchronize_event(event);
  DeviceArray<int> memory(std::vector<int>{1, 2, 3});
  int* const host = static_cast<int*>(operations().allocate(3 * sizeof(int), true));
  operations().copy(host, memory.data(), 3 * sizeof(int), nullptr);
  operations().record_event(event, nullptr);
  operations().synchronize_event(event);
  EXPECT_EQ(std::vector<int>(host, host + 3), (std::vector<int>{1, 2, 3}));
  operations().release(host, true);
  operations().destroy_event(event);
}

}  // namespace
}  // namespace deadray::kernels
