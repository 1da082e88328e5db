#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/cuda_context.h"
#include "kernels/cuda/cuda_error.h"
#include "kernels/operations/ceilings.h"
#include "kernels/operations/centred_moments.h"
#include "kernels/operations/directional_variance.h"
#include "kernels/operations/head_fisher.h"
#include "kernels/operations/norm_recompute.h"
#include "kernels/operations/random_normal.h"
#include "kernels/spectrum/cholesky.h"
#include "kernels/spectrum/spectrum.h"

namespace deadray::kernels {

/// What the module deadray_cuda offers to a program that loads it: the functions of namespace cuda,
/// each documented in its own header.
struct CudaOperations {
  decltype(&cuda::create_context) create_context;
  decltype(&cuda::destroy_context) destroy_context;
  decltype(&cuda::device_count) device_count;
  decltype(&cuda::device_info) device_info;
  decltype(&cuda::use_device) use_device;
  decltype(&cuda::library_versions) library_versions;
  decltype(&cuda::emulates_fp64) emulates_fp64;
  decltype(&cuda::allocate) allocate;
  decltype(&cuda::release) release;
  decltype(&cuda::copy) copy;
  decltype(&cuda::clear) clear;
  decltype(&cuda::synchronize) synchronize;
  decltype(&cuda::create_stream) create_stream;
  decltype(&cuda::destroy_stream) destroy_stream;
  decltype(&cuda::wait_for) wait_for;
  decltype(&cuda::create_event) create_event;
  decltype(&cuda::destroy_event) destroy_event;
  decltype(&cuda::record_event) record_event;
  decltype(&cuda::synchronize_event) synchronize_event;
  decltype(&cuda::seconds_between) seconds_between;
  decltype(&cuda::dgemm) dgemm;
  decltype(&cuda::bf16_gemm) bf16_gemm;
  decltype(&cuda::random_normal) random_normal;
  decltype(&cuda::random_uniform_int) random_uniform_int;
  void (*norm_recompute)(const Rows&, const NormArguments&, double* out, Stream);
  void (*norm_recompute_float32)(const Rows&, const NormArguments&, float* out, Stream);
  decltype(&cuda::directional_weights_bytes) directional_weights_bytes;
  decltype(&cuda::prepare_directional_weights) prepare_directional_weights;
  decltype(&cuda::directional_variance_workspace) directional_variance_workspace;
  decltype(&cuda::directional_variance_passes) directional_variance_passes;
  decltype(&cuda::directional_variance) directional_variance;
  decltype(&cuda::eigh_workspace) eigh_workspace;
  decltype(&cuda::eigh) eigh;
  decltype(&cuda::eigh_bottom_workspace) eigh_bottom_workspace;
  decltype(&cuda::eigh_bottom) eigh_bottom;
  decltype(&cuda::cholesky_workspace) cholesky_workspace;
  decltype(&cuda::cholesky) cholesky;
  decltype(&cuda::triangular_inverse) triangular_inverse;
  decltype(&cuda::inverse_product) inverse_product;
  decltype(&cuda::head_fisher_workspace) head_fisher_workspace;
  decltype(&cuda::head_fisher) head_fisher;
  decltype(&cuda::logit_fisher_workspace) logit_fisher_workspace;
  decltype(&cuda::logit_fisher) logit_fisher;
  decltype(&cuda::add_moments_workspace) add_moments_workspace;
  decltype(&cuda::add_moments) add_moments;
  decltype(&cuda::finish_moments) finish_moments;
};

/// Loads the module and keeps it for the life of the process. Loading needs neither a device nor a
/// driver; the first call does.
/// @param path  of libdeadray_cuda.so
/// @throws CudaError when it cannot be loaded or was built with other headers of kernels/
const CudaOperations& load_cuda_operations(const char* path);

/// The module's one symbol: its operations, or null for a caller of another build.
/// @param build  kBuildIdentity of the caller
using CudaOperationsEntry = const CudaOperations*(std::size_t table_bytes, std::uint64_t build);
constexpr const char* kCudaOperationsEntry = "deadray_cuda_operations";

}  // namespace deadray::kernels
