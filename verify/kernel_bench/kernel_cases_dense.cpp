#include <algorithm>
#include <cmath>

#include "kernels/operations/centred_moments.h"
#include "kernels/operations/head_fisher.h"
#include "kernels/spectrum/spectrum.h"
#include "verify/kernel_bench/kernel_cases.h"

namespace deadray {
namespace {

using kernels::CudaOperations;
using kernels::ElementType;
using Cases = std::vector<KernelCase>;

constexpr std::size_t kMiB = std::size_t{1} << 20;
constexpr int kLanczosSteps = 30;

struct Shape {
  std::int64_t n_tokens, hidden_size;
};

KernelCase add_moments_case(const Shape& shape, ElementType type) {
  const auto [n_tokens, hidden_size] = shape;
  KernelCase row{.operation = "centred_moments",
                 .shape = {{"n_tokens", n_tokens}, {"hidden_size", hidden_size}},
                 .dtype = to_string(type),
                 .bytes = product(n_tokens, hidden_size) * static_cast<double>(bytes_of(type)) +
                          8 * product(hidden_size, hidden_size),
                 .flops = product(n_tokens, hidden_size, hidden_size + 1),
                 .gemm = Gemm::dgemm};
  if (hidden_size == 4096 && type == ElementType::float32)
    row.target = {.of = Target::Of::gemm, .at_least = 0.8, .text = ">= 80 % of dgemm"};
  row.prepare = [n_tokens, hidden_size, type](const BenchDevice& device) -> PreparedCall {
    const CudaOperations& operations = device.operations();
    const RotatingRows rows(device, type, n_tokens, hidden_size);
    const RandomNorm norm(device, hidden_size);
    const auto square = static_cast<std::size_t>(hidden_size * hidden_size) * sizeof(double);
    const SharedBuffer sums = empty_buffer(device,
                                           static_cast<std::size_t>(hidden_size) * sizeof(double)),
                       gram = empty_buffer(device, square);
    operations.clear(sums->as<void>(), sums->bytes(), device.stream());
    operations.clear(gram->as<void>(), gram->bytes(), device.stream());
    const SharedBuffer workspace =
        empty_buffer(device, operations.add_moments_workspace(n_tokens, hidden_size));
    return {[=, &device, &operations](std::int64_t repetition) {
              operations.add_moments(device.context(), rows.at(repetition), norm.arguments(),
                                     sums->as<double>(), gram->as<double>(), workspace->as<void>(),
                                     workspace->bytes(), device.stream());
            },
            workspace->bytes()};
  };
  return row;
}

void add_centred_moments(Cases& cases, bool quick) {
  const auto shapes = quick ? std::vector<Shape>{{40, 24}}
                            : std::vector<Shape>{{65536, 768}, {16384, 4096}, {16384, 8192}};
  for (const Shape& shape : shapes)
    for (const ElementType type : {ElementType::float32, ElementType::bfloat16})
      cases.push_back(add_moments_case(shape, type));
}

/// @param tile_mib  of each of the two tiles, less than head_fisher_workspace() has room for; 0:
/// that
KernelCase head_fisher_case(const Shape& shape, std::int64_t vocab, std::int64_t n_directions,
                            const KernelCase& bare, std::int64_t tile_mib = 0) {
  const auto [n_tokens, hidden_size] = shape;
  KernelCase row{.operation = "head_fisher",
                 .shape = {{"n_tokens", n_tokens},
                           {"hidden_size", hidden_size},
                           {"vocab", vocab},
                           {"n_directions", n_directions}},
                 .dtype = "bfloat16",
                 .bytes = 2 * (product(n_tokens, hidden_size) + product(vocab, hidden_size)) +
                          8 * product(n_directions, vocab + n_tokens),
                 .flops = 2 * product(n_tokens, hidden_size, vocab),
                 .gemm = Gemm::bf16};
  if (tile_mib > 0) row.shape.emplace_back("tile_mib", tile_mib);
  if (hidden_size == 4096 && n_directions == 8) {
    row.target = {.of = Target::Of::row,
                  .at_least = 1 / 1.25,
                  .text = "<= 1.25 times the bare product, extra memory < 256 MiB",
                  .row = bare.name(),
                  .workspace_below = 256 * kMiB};
  }
  row.prepare = [=](const BenchDevice& device) -> PreparedCall {
    const CudaOperations& operations = device.operations();
    const ElementType type = ElementType::bfloat16;
    const RotatingRows hidden(device, type, n_tokens, hidden_size);
    // Logits of deviation 2: a softmax that is neither flat nor one token's.
    const SharedBuffer weight = random_buffer(device, type, vocab * hidden_size, "weight",
                                              2 / std::sqrt(static_cast<double>(hidden_size)));
    const SharedBuffer directions =
        random_buffer(device, ElementType::float64, n_directions * vocab, "directions");
    const SharedBuffer out =
        empty_buffer(device, static_cast<std::size_t>(n_tokens * n_directions) * sizeof(double));
    const SharedBuffer workspace = empty_buffer(
        device, tile_mib > 0
                    ? operations.logit_fisher_workspace(vocab, n_directions) +
                          2 * static_cast<std::size_t>(tile_mib) * kMiB
                    : operations.head_fisher_workspace(n_tokens, hidden_size, vocab, n_directions));
    return {[=, &device, &operations](std::int64_t repetition) {
              const kernels::Rows rows{weight->as<void>(), type, vocab, hidden_size, hidden_size};
              operations.head_fisher(device.context(), hidden.at(repetition), rows,
                                     kernels::LogitArguments{}, directions->as<double>(),
                                     n_directions, out->as<double>(), workspace->as<void>(),
                                     workspace->bytes(), device.stream());
            },
            workspace->bytes()};
  };
  return row;
}

void add_head_fisher(Cases& cases, bool quick) {
  struct Head {
    Shape shape;
    std::int64_t vocab;
  };
  const auto heads = quick ? std::vector<Head>{{{16, 32}, 100}}
                           : std::vector<Head>{{{8192, 768}, 50257}, {{8192, 4096}, 131072}};
  for (const auto& [shape, vocab] : heads) {
    const KernelCase bare = gemm_case(Gemm::bf16, shape.n_tokens, vocab, shape.hidden_size);
    cases.push_back(bare);
    for (const std::int64_t n_directions : {1, 8})
      cases.push_back(head_fisher_case(shape, vocab, n_directions, bare));
    if (shape.hidden_size == 4096)
      cases.push_back(head_fisher_case(shape, vocab, 8, bare, /*tile_mib=*/8));
  }
}

/// The Gram matrix of 1.25 n Gaussian rows, which the solvers get, and a place for the copy that
/// they overwrite.
struct Covariance {
  SharedBuffer original, work;

  Covariance(const BenchDevice& device, std::int64_t n)
      : original(empty_buffer(device, static_cast<std::size_t>(n * n) * sizeof(double))),
        work(empty_buffer(device, original->bytes())) {
    const std::int64_t n_rows = n + n / 4;
    const SharedBuffer rows = random_buffer(device, ElementType::float64, n * n_rows, "rows");
    device.operations().dgemm(device.context(), n, n, n_rows, rows->as<double>(),
                              rows->as<double>(), original->as<double>(), device.stream());
    device.operations().synchronize(device.stream());
  }
  double* fresh(const BenchDevice& device) const {
    device.operations().copy(work->as<void>(), original->as<void>(), original->bytes(),
                             device.stream());
    return work->as<double>();
  }
};

KernelCase solver_case(const char* operation, std::int64_t n) {
  return {.operation = operation, .shape = {{"n", n}}, .dtype = "float64", .gemm = Gemm::dgemm};
}

KernelCase eigh_case(std::int64_t n, std::int64_t bottom) {
  KernelCase row = solver_case(bottom > 0 ? "eigh_bottom" : "eigh", n);
  if (bottom > 0) row.shape.emplace_back("k", bottom);
  row.prepare = [n, bottom](const BenchDevice& device) -> PreparedCall {
    const CudaOperations& operations = device.operations();
    const Covariance matrix(device, n);
    const SharedBuffer eigenvalues =
        empty_buffer(device, static_cast<std::size_t>(n) * sizeof(double));
    const SharedBuffer workspace = empty_buffer(
        device, bottom > 0 ? operations.eigh_bottom_workspace(device.context(), n, bottom)
                           : operations.eigh_workspace(device.context(), n));
    const auto driver = std::make_shared<kernels::cuda::EighDriver>();
    return {[=, &device, &operations](std::int64_t) {
              double* const a = matrix.fresh(device);
              const kernels::cuda::EighResult result =
                  bottom > 0
                      ? operations.eigh_bottom(device.context(), a, n, bottom,
                                               eigenvalues->as<double>(), workspace->as<void>(),
                                               workspace->bytes(), device.stream())
                      : operations.eigh(device.context(), a, n, eigenvalues->as<double>(),
                                        workspace->as<void>(), workspace->bytes(), device.stream());
              *driver = result.driver;
            },
            workspace->bytes(), [driver] { return std::string(to_string(*driver)); }};
  };
  return row;
}

/// The device's part of a certificate: Cholesky, the factor's inverse, and the products of thirty
/// steps of inverse Lanczos.
KernelCase certificate_case(std::int64_t n, const KernelCase& full) {
  KernelCase row = solver_case("certificate", n);
  row.flops = 2.0 / 3.0 * product(n, n, n) + kLanczosSteps * 2 * product(n, n);
  row.target = {.of = Target::Of::row,
                .at_least = 10.0,
                .text = ">= 10 times as fast as eigh",
                .row = full.name()};
  row.prepare = [n](const BenchDevice& device) -> PreparedCall {
    const CudaOperations& operations = device.operations();
    const Covariance matrix(device, n);
    const SharedBuffer x = random_buffer(device, ElementType::float64, n, "x");
    const auto vector = static_cast<std::size_t>(n) * sizeof(double);
    const SharedBuffer y = empty_buffer(device, vector), scratch = empty_buffer(device, vector);
    const SharedBuffer workspace =
        empty_buffer(device, operations.cholesky_workspace(device.context(), n));
    return {[=, &device, &operations](std::int64_t) {
              double* const a = matrix.fresh(device);
              if (!operations.cholesky(device.context(), a, n, workspace->as<void>(),
                                       workspace->bytes(), device.stream()))
                throw kernels::CudaError(
                    kernels::CudaError::Kind::other,
                    "certificate: a covariance of Gaussian rows must have a Cholesky factor");
              operations.triangular_inverse(device.context(), a, n, workspace->as<void>(),
                                            workspace->bytes(), device.stream());
              for (int step = 0; step < kLanczosSteps; ++step) {
                operations.inverse_product(device.context(), a, n, x->as<double>(), y->as<double>(),
                                           scratch->as<double>(), device.stream());
              }
            },
            workspace->bytes()};
  };
  return row;
}

void add_spectrum(Cases& cases, bool quick) {
  for (const std::int64_t n :
       quick ? std::vector<std::int64_t>{16} : std::vector<std::int64_t>{4096, 8192}) {
    const KernelCase full = eigh_case(n, 0);
    cases.push_back(full);
    cases.push_back(eigh_case(n, 2));
    cases.push_back(certificate_case(n, full));
  }
}

}  // namespace

void add_dense_cases(Cases& cases, bool quick) {
  add_centred_moments(cases, quick);
  add_head_fisher(cases, quick);
  add_spectrum(cases, quick);
}

}  // namespace deadray
