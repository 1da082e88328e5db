#include "kernels/module/cuda_operations.h"

#include <dlfcn.h>

#include <string>

#include "build_identity.h"

namespace deadray::kernels {

const CudaOperations& load_cuda_operations(const char* path) {
  void* module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!module)
    throw CudaError(CudaError::Kind::other,
                    std::string("the CUDA kernels cannot be loaded: ") + dlerror());
  const auto entry = reinterpret_cast<CudaOperationsEntry*>(dlsym(module, kCudaOperationsEntry));
  const CudaOperations* operations =
      entry ? entry(sizeof(CudaOperations), kBuildIdentity) : nullptr;
  if (!operations)
    throw CudaError(
        CudaError::Kind::other,
        std::string(path) + ": not the kernels that this program was built with; build both anew");
  return *operations;
}

}  // namespace deadray::kernels
