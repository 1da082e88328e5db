#include "kernels/cuda/cuda_operation.cuh"

#include <nvtx3/nvToolsExt.h>

#include <algorithm>
#include <string>

#include "kernels/cuda/cuda_error.h"

namespace deadray::kernels::cuda {
namespace {

using Kind = CudaError::Kind;

Kind kind_of(cudaError_t status) {
  switch (status) {
    case cudaErrorMemoryAllocation:
      return Kind::out_of_memory;
    case cudaErrorNoDevice:
    case cudaErrorInvalidDevice:
    case cudaErrorDevicesUnavailable:
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorInsufficientDriver:  // and what else keeps CUDA from starting
    case cudaErrorStubLibrary:
    case cudaErrorInitializationError:
    case cudaErrorSystemNotReady:
    case cudaErrorSystemDriverMismatch:
    case cudaErrorCompatNotSupportedOnDevice:
      return Kind::no_device;
    default:
      return Kind::other;
  }
}

/// "device 0 (NVIDIA H100, sm_90)", or "no device". Clears no error but its own.
std::string current_device() {
  int device = 0;
  cudaDeviceProp properties;
  if (cudaGetDevice(&device) != cudaSuccess ||
      cudaGetDeviceProperties(&properties, device) != cudaSuccess) {
    cudaGetLastError();
    return "no device";
  }
  return "device " + std::to_string(device) + " (" + properties.name + ", sm_" +
         std::to_string(properties.major) + std::to_string(properties.minor) + ")";
}

nvtxDomainHandle_t nvtx_domain() {
  static const nvtxDomainHandle_t domain = nvtxDomainCreateA("deadray");
  return domain;
}

const char* name_of(cusolverStatus_t status) {
  switch (status) {
    case CUSOLVER_STATUS_NOT_INITIALIZED:
      return "CUSOLVER_STATUS_NOT_INITIALIZED";
    case CUSOLVER_STATUS_ALLOC_FAILED:
      return "CUSOLVER_STATUS_ALLOC_FAILED";
    case CUSOLVER_STATUS_INVALID_VALUE:
      return "CUSOLVER_STATUS_INVALID_VALUE";
    case CUSOLVER_STATUS_EXECUTION_FAILED:
      return "CUSOLVER_STATUS_EXECUTION_FAILED";
    case CUSOLVER_STATUS_INTERNAL_ERROR:
      return "CUSOLVER_STATUS_INTERNAL_ERROR";
    case CUSOLVER_STATUS_NOT_SUPPORTED:
      return "CUSOLVER_STATUS_NOT_SUPPORTED";
    default:
      return "cuSOLVER status";
  }
}

}  // namespace

Operation::Operation(const char* name, std::initializer_list<Extent> shape)
    : name_(name), n_extents_(std::min(shape.size(), kMaxExtents)) {
  std::copy_n(shape.begin(), n_extents_, shape_);
  nvtxEventAttributes_t event{};
  event.version = NVTX_VERSION;
  event.size = NVTX_EVENT_ATTRIB_STRUCT_SIZE;
  event.messageType = NVTX_MESSAGE_TYPE_ASCII;
  event.message.ascii = name;
  nvtxDomainRangePushEx(nvtx_domain(), &event);
}

Operation::~Operation() { nvtxDomainRangePop(nvtx_domain()); }

void Operation::fail(CudaError::Kind kind, const std::string& problem) const {
  std::string message = std::string(name_) + "[";
  for (std::size_t i = 0; i < n_extents_; ++i)
    message +=
        (i > 0 ? ", " : "") + std::string(shape_[i].name) + "=" + std::to_string(shape_[i].value);
  throw CudaError(kind, message + "] on " + current_device() + ": " + problem);
}

void Operation::check(cudaError_t status, const char* call) const {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // reported here: the next launch asks for it too
  fail(kind_of(status),
       std::string(call) + " gave " + cudaGetErrorName(status) + ": " + cudaGetErrorString(status));
}

void Operation::check(cublasStatus_t status, const char* call) const {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  fail(status == CUBLAS_STATUS_ALLOC_FAILED ? Kind::out_of_memory : Kind::other,
       std::string(call) + " gave " + cublasGetStatusName(status) + ": " +
           cublasGetStatusString(status));
}

void Operation::check(cusolverStatus_t status, const char* call, Kind otherwise) const {
  if (status == CUSOLVER_STATUS_SUCCESS) return;
  fail(status == CUSOLVER_STATUS_ALLOC_FAILED ? Kind::out_of_memory : otherwise,
       std::string(call) + " gave " + name_of(status) + " (" +
           std::to_string(static_cast<int>(status)) + ")");
}

void Operation::download(void* to, const void* from, std::size_t bytes, Stream stream) const {
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream), "cudaMemcpyAsync");
  check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
}

void Operation::check_workspace(std::size_t bytes, std::size_t needed) const {
  if (bytes < needed)
    fail(Kind::other,
         "workspace of " + std::to_string(bytes) + " bytes, expected " + std::to_string(needed));
}

}  // namespace deadray::kernels::cuda
