#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "host/formats/checkpoint.h"
#include "tests/gpu/device.h"
#include "tests/support/small_model.h"
#include "tests/support/spawned.h"
#include "tests/support/variable.h"
#include "tests/verify/command/fixture_models.h"

// `deadray verify --device cuda` against `--device cpu`; on a device or, with DEADRAY_KERNELS, on
// the emulation.
namespace deadray::test {
namespace {

using Json = nlohmann::json;

using deadray::testing::emulated;

Json record(const std::string& device, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "verify");
  arguments.insert(arguments.end(), {"--device", device, "--json", "-"});
  Spawned run(std::move(arguments));
  EXPECT_EQ(run.wait(), 0) << run.errors();
  return Json::parse(run.output());
}

/// Relative difference of what FP32 forward passes give on a device and on the CPU: some hundred
/// roundings of 2^-24. None on the emulation, where libtorch computes on the CPU in both cases.
double forward_difference() { return emulated() ? 0.0 : 1e-5; }

/// The figures of two readings, both made of the same rows but for the forward pass.
/// @param forward  relative difference of its outputs
void expect_same(const Json& got, const Json& want, double forward, const std::string& where) {
  EXPECT_EQ(got.is_null(), want.is_null()) << where;
  if (want.is_null()) return;
  // FP64 sums of some hundred products, twice: 1e-12 of the largest eigenvalue (Weyl), and a
  // certificate's Lanczos stops at 1e-4.
  const bool eigh = want.at("driver").get<std::string>().find("LAPACK") != std::string::npos;
  const double tolerance = forward + (eigh ? 1e-12 : 1e-3);
  const double size = want.at("eigenvalues").at("last").is_number()
                          ? want.at("eigenvalues").at("last").get<double>()
                          : 0.0;
  for (const char* name : {"first", "second", "next", "mean", "last"}) {
    if (want.at("eigenvalues").at(name).is_null()) continue;
    EXPECT_NEAR(got.at("eigenvalues").at(name), want.at("eigenvalues").at(name), tolerance * size)
        << where << " " << name;
  }
  EXPECT_EQ(got.at("dimension"), want.at("dimension")) << where;
  ASSERT_EQ(got.at("abs_cos").is_null(), want.at("abs_cos").is_null()) << where;
  if (!want.at("abs_cos").is_null()) {  // the angle moves by the perturbation over the gap, at
                                        // least 1e-3 of lambda_d in these fixtures
    EXPECT_NEAR(got.at("abs_cos"), want.at("abs_cos"), 1e3 * tolerance) << where;
  }
}

void expect_agreement(const std::vector<std::string>& arguments) {
  const Json got = record("cuda", arguments), want = record("cpu", arguments);
  const double forward = forward_difference();
  ASSERT_EQ(got.at("sites").size(), want.at("sites").size());
  for (std::size_t i = 0; i < want.at("sites").size(); ++i) {
    const Json &a = got.at("sites")[i], &b = want.at("sites")[i];
    const std::string where = arguments[0] + " " + b.at("name").get<std::string>();
    EXPECT_EQ(a.at("verdict"), b.at("verdict")) << where << ": " << a.at("reason");
    for (const char* reading : {"exact", "deployed"})
      expect_same(a.at(reading), b.at(reading), forward, where + " " + reading);
    if (b.at("schur").at("input").is_number()) {
      EXPECT_NEAR(a.at("schur").at("input"), b.at("schur").at("input"), 1e-9 + 100 * forward)
          << where;
    }
  }
  if (!want.at("residual").is_null()) {
    EXPECT_EQ(got.at("residual").at("preserved"), want.at("residual").at("preserved"));
    for (std::size_t i = 0; i < want.at("residual").at("uncentred").size();
         ++i)  // 1e-4 of sigma^2 is the certificate's promise
      EXPECT_NEAR(got.at("residual").at("uncentred")[i], want.at("residual").at("uncentred")[i],
                  (1e-4 + forward) * want.at("residual").at("uncentred")[i].get<double>());
  }
}

TEST(DeviceVerifyTest, EqualsTheCpuAtEverySite) {
  for (const char* name : {"gpt2-tied", "bert-pooler", "llama-gqa-tied"})
    expect_agreement({kModels + name, "--site", "all", "--random-tokens", "300", "--residual"});
}

TEST(DeviceVerifyTest, EqualsTheCpuWithEveryMethodAndAtRandomInitialisation) {
  for (const char* method : {"eigh", "certificate", "directional"})
    for (const char* init : {"checkpoint", "random"})
      expect_agreement(
          {kModels + "gpt2-tied", "--method", method, "--init", init, "--random-tokens", "300"});
}

TEST(DeviceVerifyTest, RunsInEveryDtype) {
  for (const char* dtype : {"float64", "bfloat16"}) {
    const std::vector<std::string> arguments = {kModels + "gpt2-bfloat16", "--dtype", dtype,
                                                "--random-tokens", "300"};
    EXPECT_EQ(record("cuda", arguments).at("sites")[0].at("verdict"),
              record("cpu", arguments).at("sites")[0].at("verdict"))
        << dtype;
  }
}

TEST(DeviceVerifyTest, MeasuresActivationFilesAndNamesTheDevice) {
  TemporaryFolder folder;
  SmallTensors tensors = {{"weight", random_tensor({8}, 1, 1.0F)},
                          {"bias", random_tensor({8}, 2)},
                          {"input", random_tensor({200, 8}, 3)}};
  write_tensors(folder.path() / "a.safetensors", tensors);
  const Json got = record("cuda:0", {"--activations", (folder.path() / "a.safetensors").string()});
  EXPECT_EQ(got.at("sites")[0].at("verdict"), "confirmed") << got.at("sites")[0].at("reason");
  EXPECT_NE(got.at("sites")[0].at("exact").at("driver").get<std::string>().find("cuSOLVER"),
            std::string::npos);
  EXPECT_TRUE(got.at("environment").at("device").get<std::string>().starts_with("cuda:0 ("))
      << got.at("environment");
  EXPECT_TRUE(got.at("environment").at("cuda").is_string());
}

TEST(DeviceVerifyTest, DumpsWhatTheCpuDumps) {
  TemporaryFolder folder;
  const auto dumped = [&](const std::string& device) {
    const std::string file = (folder.path() / (device + ".safetensors")).string();
    record(device,
           {kModels + "gpt2-tied", "--dump", file, "--dump-logits", "--random-tokens", "300"});
    return Checkpoint::open(file);
  };
  const Checkpoint got = dumped("cuda"), want = dumped("cpu");
  ASSERT_EQ(got.tensors().size(), want.tensors().size());
  for (const TensorInfo& tensor : want.tensors()) {
    const std::vector<double> a = got.read_fp64(got.at(tensor.name)), b = want.read_fp64(tensor);
    ASSERT_EQ(a.size(), b.size()) << tensor.name;
    double largest = 0, error = 0;
    for (std::size_t i = 0; i < b.size(); ++i) {
      largest = std::max(largest, std::abs(b[i]));
      error = std::max(error, std::abs(a[i] - b[i]));
    }
    EXPECT_LE(error, forward_difference() * largest) << tensor.name;
  }
}

// Derivatives by libtorch on the device, the head by its kernel; FP64 throughout, so that only the
// order of sums differs.
TEST(DeviceVerifyTest, MeasuresFisherInformationAsTheCpuDoes) {
  const auto fisher = [](const std::string& device) {
    Spawned run({"fisher", kModels + "gpt2-untied", "--site", "all", "--random-tokens", "16",
                 "--sequence-length", "8", "--invariance", "--device", device, "--json", "-"});
    EXPECT_EQ(run.wait(), 0) << run.errors();
    return Json::parse(run.output()).at("consumers");
  };
  const Json got = fisher("cuda"), want = fisher("cpu");
  for (std::size_t i = 0; i < want.size(); ++i) {
    EXPECT_EQ(got[i].at("verdict"), "confirmed") << got[i].dump();
    EXPECT_NEAR(got[i].at("random").at("median").get<double>() /
                    want[i].at("random").at("median").get<double>(),
                1.0, 1e-9)
        << got[i].dump();
  }
}

// A fabric manager that is down, say, has a device listed that nobody can use.
TEST(DeviceVerifyTest, RefusesADeviceThatIsNotReadyInCudasOwnWords) {
  if (!emulated()) GTEST_SKIP() << "only the emulation's device can be kept from starting";
  const Variable status("DEADRAY_SIMT_STATUS", "802");
  expect_failure(ExitCode::resources, {"verify", kModels + "gpt2-tied", "--device", "cuda"},
                 {"cudaErrorSystemNotReady: system not yet initialized", "--device cpu"});
}

TEST(DeviceVerifyTest, RefusesADeviceThatIsNotThere) {
  expect_failure(ExitCode::resources, {"verify", kModels + "gpt2-tied", "--device", "cuda:99"},
                 {"--device cuda:99", "--device cpu"});
}

// The emulation's memory is what its allocations may take together: 32 MiB of cuBLAS and the
// workspace, 16 MiB for the column sums and 192 bytes a token of width 24. One byte less than tiles
// of 1020 tokens need.
TEST(DeviceVerifyTest, GoesOnWithSmallerTilesWhereMemoryIsShort) {
  if (!emulated()) GTEST_SKIP() << "only the emulation's memory can be made small";
  const std::vector<std::string> arguments = {kModels + "gpt2-tied", "--random-tokens", "2000"};
  const Json want = record("cpu", arguments);
  const Variable memory("DEADRAY_SIMT_MEMORY", std::to_string((48 << 20) + 1020 * 192 - 1));
  const Json got = record("cuda", arguments);
  EXPECT_EQ(got.at("sites")[0].at("verdict"), want.at("sites")[0].at("verdict"));
  // Other tiles are other orders of sums: FP64, about a thousand rows; and libtorch's FP32 products
  // of other heights, 2^-24 a product of 24.
  const double next = want.at("sites")[0].at("exact").at("eigenvalues").at("next");
  EXPECT_NEAR(got.at("sites")[0].at("exact").at("eigenvalues").at("next"), next, 1e-5 * next);
  std::string notes;
  for (const Json& note : got.at("notes")) notes += note.get<std::string>() + "\n";
  EXPECT_NE(notes.find("not enough memory for tiles of 1020 tokens: went on with 500"),
            std::string::npos)
      << notes;
}

TEST(DeviceVerifyTest, SaysInOneLineWhatDoesNotFit) {
  if (!emulated()) GTEST_SKIP() << "only the emulation's memory can be made small";
  for (const std::size_t bytes :
       {std::size_t{1} << 20, (std::size_t{32} << 20) + 100, (std::size_t{32} << 20) + 25'000}) {
    const Variable memory("DEADRAY_SIMT_MEMORY", std::to_string(bytes));
    expect_failure(ExitCode::resources,
                   {"verify", kModels + "gpt2-tied", "--device", "cuda", "--random-tokens", "2000"},
                   {"not enough memory"});
  }
}

// Smaller tiles would not help: what is read from files passes through page-locked memory of the
// host.
TEST(DeviceVerifyTest, TellsTheHostsMemoryFromTheDevices) {
  if (!emulated()) GTEST_SKIP() << "only the emulation's memory can be made small";
  const Variable memory("DEADRAY_SIMT_HOST_MEMORY", "1000");
  expect_failure(ExitCode::resources,
                 {"verify", kModels + "gpt2-tied", "--device", "cuda", "--random-tokens", "2000"},
                 {"not enough memory of the host", "page-locked", "--device cpu"});
}

}  // namespace
}  // namespace deadray::test
