#include "verify/device/library_errors.h"

#include <c10/util/Exception.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

#include "host/base/error.h"
#include "kernels/cuda/cuda_error.h"

namespace deadray {
namespace {

using Kind = kernels::CudaError::Kind;

// A device's failures by what the user can do about them; only what nobody expects is a defect of
// deadray's.
TEST(LibraryErrorsTest, EveryKindOfADevicesFailureHasItsCodeAndAdvice) {
  const struct {
    Kind kind;
    ExitCode code;
    const char* advice;
  } cases[] = {{Kind::no_device, ExitCode::resources, "give another --device"},
               {Kind::out_of_memory, ExitCode::resources, "not enough memory on the device"},
               {Kind::out_of_host_memory, ExitCode::resources, "not enough memory of the host"},
               {Kind::too_large, ExitCode::resources, "--method certificate"},
               {Kind::unsolved, ExitCode::resources, "--device cpu"},
               {Kind::other, ExitCode::internal, "what CUDA said"}};
  for (const auto& [kind, code, advice] : cases) {
    try {
      translate_library_errors(
          [kind = kind]() -> int { throw kernels::CudaError(kind, "what CUDA said"); });
      ADD_FAILURE() << "no error";
    } catch (const Error& error) {
      const std::string what = error.what();
      EXPECT_EQ(error.code(), code) << what;
      EXPECT_NE(what.find("what CUDA said"), std::string::npos) << what;
      EXPECT_NE(what.find(advice), std::string::npos) << what;
    }
  }
}

TEST(LibraryErrorsTest, WhatOneDnnCannotMakeWantsMemory) {
  const auto code_of = [](const char* what) {
    try {
      return translate_library_errors([&]() -> int { throw std::runtime_error(what); });
    } catch (const Error& error) {
      return static_cast<int>(error.code());
    } catch (const std::exception&) {
      return -1;  // passed on
    }
  };
  EXPECT_EQ(code_of("could not create a primitive"), static_cast<int>(ExitCode::resources));
  EXPECT_EQ(code_of("could not execute a primitive"), static_cast<int>(ExitCode::resources));
  EXPECT_EQ(code_of("could not create a primitive descriptor for a matmul primitive"), -1);
}

TEST(LibraryErrorsTest, NoRandomNumbersFromTheSystemIsNoDefect) {
  EXPECT_THROW(
      translate_library_errors([]() -> int { TORCH_CHECK(false, "Unable to open /dev/urandom"); }),
      ResourceError);
  EXPECT_THROW(translate_library_errors([]() -> int { TORCH_CHECK(false, "wrong shape"); }),
               std::runtime_error);
}

TEST(LibraryErrorsTest, PassesOnWhatIsDone) {
  EXPECT_EQ(translate_library_errors([] { return 8; }), 8);
}

}  // namespace
}  // namespace deadray
