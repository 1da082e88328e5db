#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/small_model.h"
#include "tests/support/spawned.h"
#include "tests/verify/command/fixture_models.h"

// `deadray verify` as a user runs it, on the fixtures and on files that the tests write.
namespace deadray::test {

class VerifyCommandTest : public testing::Test {
 protected:
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }

  nlohmann::json record(std::vector<std::string> arguments, int expected_code = 0) {
    arguments.insert(arguments.begin(), "verify");
    arguments.insert(arguments.end(), {"--json", "-"});
    Spawned run(std::move(arguments));
    EXPECT_EQ(run.wait(), expected_code) << run.errors();
    return nlohmann::json::parse(run.output());
  }

  void expect_failure(int code, std::vector<std::string> arguments,
                      const std::vector<std::string>& parts) {
    arguments.insert(arguments.begin(), "verify");
    test::expect_failure(static_cast<ExitCode>(code), std::move(arguments), parts);
  }

  /// Rows of a LayerNorm or RMSNorm output made in double, stored as float32.
  std::string write_activations(const std::string& tensor, std::int64_t rows, bool subtract_mean,
                                bool bias = true) {
    constexpr std::int64_t d = 8;
    SmallTensors tensors;
    tensors["weight"] = random_tensor({d}, 1, 1.0F);
    if (bias) tensors["bias"] = random_tensor({d}, 2);
    SmallTensor x = random_tensor({rows, d}, 3, 0.05F);
    if (tensor == "output")
      for (std::int64_t row = 0; row < rows; ++row) {
        float* values = x.values.data() + row * d;
        double mean = 0, squares = 0;
        for (int i = 0; i < d; ++i) mean += subtract_mean ? values[i] / 8.0 : 0.0;
        for (int i = 0; i < d; ++i) squares += (values[i] - mean) * (values[i] - mean) / 8.0;
        for (int i = 0; i < d; ++i)
          values[i] = static_cast<float>(tensors["weight"].values[i] * (values[i] - mean) /
                                             std::sqrt(squares) +
                                         (bias ? tensors["bias"].values[i] : 0.0F));
      }
    tensors[tensor] = std::move(x);
    write_tensors(folder_.path() / "activations.safetensors", tensors);
    return path("activations.safetensors");
  }

  TemporaryFolder folder_;
};

}  // namespace deadray::test
