#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "verify/kernel_bench/bench_device.h"

namespace deadray {

/// What a row of the benchmark is to reach.
struct Target {
  enum class Of {
    none,
    copy,  ///< a share of the copy's bytes per second
    gemm,  ///< a share of the product's floating-point operations per second
    row,   ///< so many times the speed of another row
  };
  Of of = Of::none;
  double at_least = 0.0;
  std::string text{};               ///< for people
  std::string row{};                ///< the other row's name
  std::size_t workspace_below = 0;  ///< bytes; 0: any
};

/// One call, ready to be repeated; holds its memory. The number of the repetition says which of the
/// rotating inputs to take.
struct PreparedCall {
  std::function<void(std::int64_t repetition)> run;
  std::size_t workspace_bytes = 0;
  /// Of an eigensolver: the library routine that gave the last result.
  std::function<std::string()> driver{};
  /// Where the device's code decides how often it reads its input: KernelCase::bytes.
  std::optional<double> bytes{};
};

/// The product that an operation's arithmetic is held against.
enum class Gemm { none, dgemm, bf16 };

/// One row: an operation at one shape.
struct KernelCase {
  std::string operation;
  std::vector<std::pair<std::string, std::int64_t>> shape;
  std::string dtype;
  double bytes = 0.0;  ///< that must move at least: inputs once, outputs once. 0: not counted
  double flops = 0.0;  ///< as docs/gpu.md counts them. 0: not counted
  Gemm gemm = Gemm::none;
  Target target{};
  std::function<PreparedCall(const BenchDevice&)> prepare{};

  /// "directional_variance/n_tokens=16384,hidden_size=4096,n_directions=8/bfloat16"
  std::string name() const;
};

/// What bounds the operations on this device: a copy, a product in FP64, one in bfloat16. In this
/// order.
std::vector<KernelCase> ceiling_cases(bool quick);

/// c [m, n] = a [m, k] b [n, k]^T by cuBLAS alone.
KernelCase gemm_case(Gemm gemm, std::int64_t m, std::int64_t n, std::int64_t k);

/// Adds the operations whose cost is a product or a factorisation.
void add_dense_cases(std::vector<KernelCase>& cases, bool quick);

/// Extents multiplied where 64 bits might not do.
double product(std::int64_t a, std::int64_t b);
double product(std::int64_t a, std::int64_t b, std::int64_t c);

/// Every operation at the shapes that docs/gpu.md lists; tiny ones when quick.
std::vector<KernelCase> kernel_cases(bool quick);

}  // namespace deadray
