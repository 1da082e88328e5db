#include "verify/kernel_bench/kernel_cases.h"

#include <fmt/format.h>

namespace deadray {
namespace {

using kernels::ElementType;

constexpr double kMinLargeElements = 1 << 26;  // N d from which directional_variance has a target

KernelCase copy_case(std::int64_t bytes) {
  KernelCase row{.operation = "copy",
                 .shape = {{"bytes", bytes}},
                 .dtype = "bytes",
                 .bytes = 2.0 * static_cast<double>(bytes)};
  row.prepare = [bytes](const BenchDevice& device) -> PreparedCall {
    const SharedBuffer from = random_buffer(device, ElementType::float32, bytes / 4, "copy");
    const auto to = empty_buffer(device, from->bytes());
    return {[=, &device](std::int64_t) {
      device.operations().copy(to->as<void>(), from->as<void>(), from->bytes(), device.stream());
    }};
  };
  return row;
}

}  // namespace

KernelCase gemm_case(Gemm gemm, std::int64_t m, std::int64_t n, std::int64_t k) {
  const bool fp64 = gemm == Gemm::dgemm;
  const double element = fp64 ? 8 : 2;
  KernelCase row{.operation = fp64 ? "dgemm" : "bf16_gemm",
                 .shape = {{"m", m}, {"n", n}, {"k", k}},
                 .dtype = fp64 ? "float64" : "bfloat16",
                 .bytes = element * (product(m, k) + product(n, k) + product(m, n)),
                 .flops = 2 * product(m, n, k),
                 .gemm = gemm};
  row.prepare = [=](const BenchDevice& device) -> PreparedCall {
    const ElementType type = fp64 ? ElementType::float64 : ElementType::bfloat16;
    const SharedBuffer a = random_buffer(device, type, m * k, "a"),
                       b = random_buffer(device, type, n * k, "b");
    const auto c = empty_buffer(device, static_cast<std::size_t>(m * n) * bytes_of(type));
    return {[=, &device](std::int64_t) {
      if (fp64) {
        device.operations().dgemm(device.context(), m, n, k, a->as<double>(), b->as<double>(),
                                  c->as<double>(), device.stream());
      } else {
        device.operations().bf16_gemm(device.context(), m, n, k, a->as<kernels::BFloat16>(),
                                      b->as<kernels::BFloat16>(), c->as<kernels::BFloat16>(),
                                      device.stream());
      }
    }};
  };
  return row;
}

namespace {

KernelCase random_normal_case(std::int64_t count) {
  KernelCase row{.operation = "random_normal",
                 .shape = {{"count", count}},
                 .dtype = "float32",
                 .bytes = 4.0 * static_cast<double>(count)};
  row.prepare = [count](const BenchDevice& device) -> PreparedCall {
    const auto out = empty_buffer(device, static_cast<std::size_t>(count) * 4);
    return {[=, &device](std::int64_t repetition) {
      device.operations().random_normal(/*seed=*/0, static_cast<std::uint64_t>(repetition), 0,
                                        count, 1.0F, out->as<float>(), device.stream());
    }};
  };
  return row;
}

// An element: two passes for the mean and the squares (1 + 3), two subtractions, the scale, gamma,
// the offset.
constexpr double kNormFlops = 9;

KernelCase norm_recompute_case(ElementType type, std::int64_t n_tokens, std::int64_t hidden_size) {
  const double elements = product(n_tokens, hidden_size);
  KernelCase row{.operation = "norm_recompute",
                 .shape = {{"n_tokens", n_tokens}, {"hidden_size", hidden_size}},
                 .dtype = to_string(type),
                 .bytes = elements * static_cast<double>(bytes_of(type) + 8),
                 .flops = elements * kNormFlops};
  row.prepare = [=](const BenchDevice& device) -> PreparedCall {
    const RotatingRows rows(device, type, n_tokens, hidden_size);
    const RandomNorm norm(device, hidden_size);
    const auto out = empty_buffer(device, static_cast<std::size_t>(n_tokens * hidden_size) * 8);
    return {[=, &device](std::int64_t repetition) {
      device.operations().norm_recompute(rows.at(repetition), norm.arguments(), out->as<double>(),
                                         device.stream());
    }};
  };
  return row;
}

KernelCase directional_variance_case(ElementType type, std::int64_t n_tokens,
                                     std::int64_t hidden_size, std::int64_t n_directions) {
  const double elements = product(n_tokens, hidden_size);
  KernelCase row{.operation = "directional_variance",
                 .shape = {{"n_tokens", n_tokens},
                           {"hidden_size", hidden_size},
                           {"n_directions", n_directions}},
                 .dtype = to_string(type),
                 .flops = elements * (kNormFlops + 2 * static_cast<double>(n_directions))};
  if (hidden_size >= 768 && elements >= kMinLargeElements)
    row.target = {.of = Target::Of::copy, .at_least = 0.85, .text = ">= 85 % of copy"};
  row.prepare = [=](const BenchDevice& device) -> PreparedCall {
    const RotatingRows rows(device, type, n_tokens, hidden_size);
    const RandomNorm norm(device, hidden_size);
    const SharedBuffer directions =
        random_buffer(device, ElementType::float64, n_directions * hidden_size, "directions");
    const auto moments = empty_buffer(
        device, static_cast<std::size_t>(n_directions) * sizeof(kernels::RunningMoments));
    device.operations().clear(moments->as<void>(), moments->bytes(), device.stream());
    const kernels::CudaOperations& operations = device.operations();
    const SharedBuffer weights =
        empty_buffer(device, operations.directional_weights_bytes(n_directions, hidden_size));
    operations.prepare_directional_weights(norm.arguments(), type, hidden_size,
                                           directions->as<double>(), n_directions,
                                           weights->as<void>(), device.stream());
    const SharedBuffer workspace =
        empty_buffer(device, operations.directional_variance_workspace(n_directions));
    return {[=, &device](std::int64_t repetition) {
              device.operations().directional_variance(
                  rows.at(repetition), norm.arguments().type, norm.arguments().eps,
                  weights->as<void>(), n_directions, moments->as<kernels::RunningMoments>(),
                  workspace->as<void>(), device.stream());
            },
            workspace->bytes(),
            {},
            static_cast<double>(operations.directional_variance_passes(rows.at(0), n_directions)) *
                    elements * static_cast<double>(bytes_of(type)) +
                8 * product(n_directions, hidden_size)};
  };
  return row;
}

}  // namespace

double product(std::int64_t a, std::int64_t b) {
  return static_cast<double>(a) * static_cast<double>(b);
}
double product(std::int64_t a, std::int64_t b, std::int64_t c) {
  return product(a, b) * static_cast<double>(c);
}

std::string KernelCase::name() const {
  std::string extents;
  for (const auto& [extent, value] : shape)
    extents += fmt::format("{}{}={}", extents.empty() ? "" : ",", extent, value);
  return fmt::format("{}/{}/{}", operation, extents, dtype);
}

std::vector<KernelCase> ceiling_cases(bool quick) {
  const std::int64_t side = quick ? 64 : 8192;
  return {copy_case(quick ? 1 << 20 : std::int64_t{1} << 30),
          gemm_case(Gemm::dgemm, side, side, side), gemm_case(Gemm::bf16, side, side, side)};
}

std::vector<KernelCase> kernel_cases(bool quick) {
  using Numbers = std::vector<std::int64_t>;
  const Numbers element_counts = quick ? Numbers{1 << 12} : Numbers{1 << 26, 1 << 27, 1 << 28};
  const Numbers hidden_sizes = quick ? Numbers{48} : Numbers{768, 4096, 8192};
  std::vector<KernelCase> cases;
  for (const std::int64_t count : element_counts) cases.push_back(random_normal_case(count));
  for (const std::int64_t hidden_size : hidden_sizes) {
    for (const std::int64_t count : element_counts) {
      const std::int64_t n_tokens = (count + hidden_size - 1) / hidden_size;
      for (const ElementType type : {ElementType::float32, ElementType::bfloat16}) {
        cases.push_back(norm_recompute_case(type, n_tokens, hidden_size));
        for (const std::int64_t n_directions : {1, 8})
          cases.push_back(directional_variance_case(type, n_tokens, hidden_size, n_directions));
      }
    }
  }
  add_dense_cases(cases, quick);
  return cases;
}

}  // namespace deadray
