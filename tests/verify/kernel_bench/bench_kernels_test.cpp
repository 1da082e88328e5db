#include "verify/kernel_bench/bench_kernels.h"
#include "host/command/command_line.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "host/base/error.h"

namespace deadray {
namespace {

using Json = nlohmann::json;

/// On the emulation of tests/simt, unless told otherwise.
class BenchKernelsTest : public ::testing::Test {
 protected:
  void SetUp() override {
#ifndef DEADRAY_SIMT_MODULE
    GTEST_SKIP() << "built without CUDA: no emulation";
#else
    setenv("DEADRAY_KERNELS", DEADRAY_SIMT_MODULE, 1);
#endif
  }
  void TearDown() override { unsetenv("DEADRAY_KERNELS"); }

  static int run(std::vector<const char*> arguments) {
    CLI::App app("test", "deadray");
    Command chosen;
    add_bench_kernels_command(app, chosen);
    arguments.insert(arguments.begin(), {"deadray", "kernels", "--quiet"});
    if (!parse_command_line(app, static_cast<int>(arguments.size()), arguments.data())) return 0;
    return chosen();
  }

  static Json record(std::vector<const char*> arguments = {}) {
    const std::string file = testing::TempDir() + "bench_kernels.json";
    std::filesystem::remove(file);
    arguments.insert(arguments.end(), {"--quick", "--json", file.c_str()});
    EXPECT_EQ(run(arguments), 0);
    return Json::parse(std::ifstream(file));
  }
};

TEST_F(BenchKernelsTest, EveryRowHasATimeAndTheRatesOfItsCounts) {
  const Json all = record();
  EXPECT_EQ(all["schema"], "deadray/bench-kernels/1");
  EXPECT_EQ(all["complete"], true);
  EXPECT_GT(all["ceilings"]["copy_bytes_per_second"].get<double>(), 0);
  std::set<std::string> operations;
  for (const Json& row : all["rows"]) {
    operations.insert(row["operation"].get<std::string>());
    EXPECT_FALSE(row.contains("error")) << row;
    const auto seconds = row["seconds"].get<double>();
    EXPECT_GT(seconds, 0) << row;
    const std::string operation = row["operation"];
    EXPECT_EQ(row["driver"], operation == "eigh"          ? Json("Xsyevd")
                             : operation == "eigh_bottom" ? Json("Xsyevdx")
                                                          : Json(nullptr))
        << row;
    if (operation == "random_normal") {
      EXPECT_DOUBLE_EQ(row["bytes_per_second"].get<double>(),
                       4 * row["shape"]["count"].get<double>() / seconds);
    }
    if (row["operation"] == "dgemm") {
      const Json& shape = row["shape"];
      EXPECT_DOUBLE_EQ(row["flops_per_second"].get<double>(),
                       2 * shape["m"].get<double>() * shape["n"].get<double>() *
                           shape["k"].get<double>() / seconds);
      EXPECT_DOUBLE_EQ(row["percent_of_gemm"].get<double>(), 100.0);
    }
  }
  for (const char* operation :
       {"copy", "dgemm", "bf16_gemm", "random_normal", "norm_recompute", "directional_variance",
        "centred_moments", "head_fisher", "eigh", "eigh_bottom", "certificate"})
    EXPECT_TRUE(operations.contains(operation)) << operation;
}

TEST_F(BenchKernelsTest, FilterLeavesTheCeilingsAndWhatMatches) {
  const Json all = record({"--filter", "norm_recompute/.*float32"});
  ASSERT_EQ(all["rows"].size(), 4u);
  for (const Json& row : all["rows"]) {
    const std::string operation = row["operation"];
    EXPECT_TRUE(operation == "copy" || operation == "dgemm" || operation == "bf16_gemm" ||
                (operation == "norm_recompute" && row["dtype"] == "float32"))
        << row;
  }
}

// What does not fit into the device's memory is said row by row; the others are measured, and the
// end is not success.
TEST_F(BenchKernelsTest, RowsBeyondTheDevicesMemoryAreNamedAndNotCountedAsDone) {
  const std::string file = testing::TempDir() + "bench_kernels_small.json";
  setenv("DEADRAY_SIMT_MEMORY", "33600000", 1);  // the workspace of cuBLAS and 45 kB more
  EXPECT_THROW(run({"--quick", "--filter", "random_normal", "--json", file.c_str()}),
               ResourceError);
  unsetenv("DEADRAY_SIMT_MEMORY");
  const Json all = Json::parse(std::ifstream(file));
  ASSERT_EQ(all["rows"].size(), 4u);
  EXPECT_EQ(all["rows"][0]["operation"], "copy");
  EXPECT_TRUE(all["rows"][0]["seconds"].is_null());
  EXPECT_NE(all["rows"][0]["error"].get<std::string>().find("allocate"), std::string::npos)
      << all["rows"][0];
  EXPECT_GT(all["rows"][3]["seconds"].get<double>(), 0);
}

TEST_F(BenchKernelsTest, RefusesWhatIsNoDeviceAndNoFilter) {
  EXPECT_THROW(run({"--device", "cpu"}), UsageError);
  EXPECT_THROW(run({"--device", "cuda:9"}), ResourceError);  // the emulation has one
  EXPECT_THROW(run({"--filter", "("}), UsageError);
  setenv("DEADRAY_KERNELS", "/nowhere/libdeadray_cuda.so", 1);
  EXPECT_THROW(run({}), ResourceError);
}

}  // namespace
}  // namespace deadray
