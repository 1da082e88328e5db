#include "kernels/cuda_operations.h"

extern "C" __attribute__((visibility("default"))) const deadray::kernels::CudaOperations* deadray_cuda_operations(std::size_t table_bytes) {
  namespace cuda = deadray::kernels::cuda;
  static constexpr deadray::kernels::CudaOperations kOperations = {
      &cuda::random_normal,        &cuda::random_uniform_int, &cuda::norm_recompute, &cuda::directional_variance_workspace,
      &cuda::directional_variance,
  };
  return table_bytes == sizeof kOperations ? &kOperations : nullptr;
}
