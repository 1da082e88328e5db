#include "kernels/module/cuda_operations.h"

#include "build_identity.h"

extern "C" __attribute__((visibility("default"))) const deadray::kernels::CudaOperations*
deadray_cuda_operations(std::size_t table_bytes, std::uint64_t build) {
  namespace cuda = deadray::kernels::cuda;
  static constexpr deadray::kernels::CudaOperations kOperations = {
      .create_context = &cuda::create_context,
      .destroy_context = &cuda::destroy_context,
      .device_count = &cuda::device_count,
      .device_info = &cuda::device_info,
      .use_device = &cuda::use_device,
      .library_versions = &cuda::library_versions,
      .emulates_fp64 = &cuda::emulates_fp64,
      .allocate = &cuda::allocate,
      .release = &cuda::release,
      .copy = &cuda::copy,
      .clear = &cuda::clear,
      .synchronize = &cuda::synchronize,
      .create_stream = &cuda::create_stream,
      .destroy_stream = &cuda::destroy_stream,
      .wait_for = &cuda::wait_for,
      .create_event = &cuda::create_event,
      .destroy_event = &cuda::destroy_event,
      .record_event = &cuda::record_event,
      .synchronize_event = &cuda::synchronize_event,
      .seconds_between = &cuda::seconds_between,
      .dgemm = &cuda::dgemm,
      .bf16_gemm = &cuda::bf16_gemm,
      .random_normal = &cuda::random_normal,
      .random_uniform_int = &cuda::random_uniform_int,
      .norm_recompute = &cuda::norm_recompute,
      .norm_recompute_float32 = &cuda::norm_recompute,
      .directional_weights_bytes = &cuda::directional_weights_bytes,
      .prepare_directional_weights = &cuda::prepare_directional_weights,
      .directional_variance_workspace = &cuda::directional_variance_workspace,
      .directional_variance_passes = &cuda::directional_variance_passes,
      .directional_variance = &cuda::directional_variance,
      .eigh_workspace = &cuda::eigh_workspace,
      .eigh = &cuda::eigh,
      .eigh_bottom_workspace = &cuda::eigh_bottom_workspace,
      .eigh_bottom = &cuda::eigh_bottom,
      .cholesky_workspace = &cuda::cholesky_workspace,
      .cholesky = &cuda::cholesky,
      .triangular_inverse = &cuda::triangular_inverse,
      .inverse_product = &cuda::inverse_product,
      .head_fisher_workspace = &cuda::head_fisher_workspace,
      .head_fisher = &cuda::head_fisher,
      .logit_fisher_workspace = &cuda::logit_fisher_workspace,
      .logit_fisher = &cuda::logit_fisher,
      .add_moments_workspace = &cuda::add_moments_workspace,
      .add_moments = &cuda::add_moments,
      .finish_moments = &cuda::finish_moments,
  };
  return table_bytes == sizeof kOperations && build == deadray::kernels::kBuildIdentity
             ? &kOperations
             : nullptr;
}
