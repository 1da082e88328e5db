#include "kernels/cuda/cuda_context.cuh"

#include <dlfcn.h>

// With it a null stream is cudaStreamPerThread.
#ifdef CUDA_API_PER_THREAD_DEFAULT_STREAM
#error "cuSOLVER must not get the per-thread default stream; see Context::use"
#endif

namespace deadray::kernels::cuda {
namespace {

constexpr std::size_t kBlasWorkspace = 32 << 20;  // what cuBLAS recommends for sm_90 and later

/// @param property  cublasGetProperty or cusolverGetProperty
template <class Status>
std::string version_of(Status (*property)(libraryPropertyType, int*), const char* call,
                       const Operation& operation) {
  int major = 0, minor = 0, patch = 0;
  operation.check(property(MAJOR_VERSION, &major), call);
  operation.check(property(MINOR_VERSION, &minor), call);
  operation.check(property(PATCH_LEVEL, &patch), call);
  return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(patch);
}

/// The shared object that a function is in; empty where that cannot be said.
template <class Function>
std::string file_of(Function* function) {
  Dl_info found{};
  return dladdr(reinterpret_cast<const void*>(function), &found) != 0 && found.dli_fname
             ? found.dli_fname
             : "";
}

#if CUBLAS_VERSION >= 130100
constexpr unsigned kEmulatedFp64 = CUBLAS_FP64_EMULATED_FIXEDPOINT_MATH;
#else
constexpr unsigned kEmulatedFp64 = 8;  // of a cuBLAS that is newer than the headers
#endif

unsigned math_mode(cublasHandle_t blas, const Operation& operation) {
  cublasMath_t mode = CUBLAS_DEFAULT_MATH;
  operation.check(cublasGetMathMode(blas, &mode), "cublasGetMathMode");
  return static_cast<unsigned>(mode);
}

}  // namespace

Context* create_context(int device) {
  const Operation operation("create_context", {{"device", device}});
  operation.check(cudaSetDevice(device), "cudaSetDevice");
  auto* context = new Context;
  context->device = device;
  try {
    operation.check(cudaMalloc(&context->blas_workspace, kBlasWorkspace), "cudaMalloc");
    operation.check(cublasCreate(&context->blas), "cublasCreate");
    operation.check(cublasSetWorkspace(context->blas, context->blas_workspace, kBlasWorkspace),
                    "cublasSetWorkspace");
    operation.check(
        cublasSetMathMode(context->blas, static_cast<cublasMath_t>(
                                             math_mode(context->blas, operation) & ~kEmulatedFp64)),
        "cublasSetMathMode");
    operation.check(cusolverDnCreate(&context->solver), "cusolverDnCreate");
    operation.check(cusolverDnCreateParams(&context->solver_parameters), "cusolverDnCreateParams");
    int lowest = 0, highest = 0;
    operation.check(cudaDeviceGetStreamPriorityRange(&lowest, &highest),
                    "cudaDeviceGetStreamPriorityRange");
    operation.check(cudaStreamCreateWithPriority(&context->side, cudaStreamNonBlocking, highest),
                    "cudaStreamCreateWithPriority");
    for (auto* events : {context->produced, context->consumed})
      for (int i = 0; i < 2; ++i)
        operation.check(cudaEventCreateWithFlags(&events[i], cudaEventDisableTiming),
                        "cudaEventCreateWithFlags");
  } catch (...) {
    destroy_context(context);
    throw;
  }
  return context;
}

void destroy_context(Context* context) noexcept {
  if (!context) return;
  for (auto* events : {context->produced, context->consumed})
    for (int i = 0; i < 2; ++i)
      if (events[i]) cudaEventDestroy(events[i]);
  if (context->side) cudaStreamDestroy(context->side);
  if (context->solver_parameters) cusolverDnDestroyParams(context->solver_parameters);
  if (context->solver) cusolverDnDestroy(context->solver);
  if (context->blas) cublasDestroy(context->blas);
  cudaFree(context->blas_workspace);
  delete context;
}

void Context::use(Stream stream, const Operation& operation) {
  // Xsyevd of CUDA 12 is known to give wrong results on it.
  if (stream == cudaStreamPerThread)
    operation.fail(CudaError::Kind::other,
                   "the stream is cudaStreamPerThread, expected any other one");
  operation.check(cudaSetDevice(device), "cudaSetDevice");
  operation.check(cublasSetStream(blas, stream), "cublasSetStream");
  // Again, since cublasSetStream takes the workspace away.
  operation.check(cublasSetWorkspace(blas, blas_workspace, kBlasWorkspace), "cublasSetWorkspace");
  operation.check(cusolverDnSetStream(solver, stream), "cusolverDnSetStream");
}

int device_count() {
  const Operation operation("device_count", {});
  int count = 0, driver = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  const bool no_driver = status == cudaErrorInsufficientDriver &&
                         cudaDriverGetVersion(&driver) == cudaSuccess && driver == 0;
  if (status == cudaErrorNoDevice || no_driver) {
    cudaGetLastError();
    return 0;
  }
  operation.check(status, "cudaGetDeviceCount");
  return count;
}

DeviceInfo device_info(int device) {
  const Operation operation("device_info", {{"device", device}});
  cudaDeviceProp properties;
  operation.check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  int current = 0;
  operation.check(cudaGetDevice(&current), "cudaGetDevice");
  operation.check(cudaSetDevice(device), "cudaSetDevice");
  DeviceInfo info{properties.name, properties.major, properties.minor,
                  properties.multiProcessorCount};
  const cudaError_t told = cudaMemGetInfo(&info.free_bytes, &info.total_bytes);
  operation.check(cudaSetDevice(current), "cudaSetDevice");
  operation.check(told, "cudaMemGetInfo");
  return info;
}

void use_device(int device) {
  const Operation operation("use_device", {{"device", device}});
  operation.check(cudaSetDevice(device), "cudaSetDevice");
}

LibraryVersions library_versions() {
  const Operation operation("library_versions", {});
  LibraryVersions versions;
  operation.check(cudaDriverGetVersion(&versions.driver), "cudaDriverGetVersion");
  operation.check(cudaRuntimeGetVersion(&versions.runtime), "cudaRuntimeGetVersion");
  versions.cublas = version_of(&cublasGetProperty, "cublasGetProperty", operation);
  versions.cusolver = version_of(&cusolverGetProperty, "cusolverGetProperty", operation);
  versions.cublas_file = file_of(&cublasGetProperty);
  versions.cusolver_file = file_of(&cusolverGetProperty);
  return versions;
}

bool emulates_fp64(Context& context) {
  const Operation operation("emulates_fp64", {{"device", context.device}});
  return (math_mode(context.blas, operation) & kEmulatedFp64) != 0;
}

void* allocate(std::size_t bytes, bool host) {
  const Operation operation("allocate", {{"bytes", static_cast<std::int64_t>(bytes)}});
  void* memory = nullptr;
  if (!host) {
    operation.check(cudaMalloc(&memory, bytes), "cudaMalloc");
    return memory;
  }
  const cudaError_t status = cudaMallocHost(&memory, bytes);
  if (status == cudaErrorMemoryAllocation) {  // the same status as of the device's
    cudaGetLastError();
    operation.fail(CudaError::Kind::out_of_host_memory,
                   "cudaMallocHost found no host memory that can be page-locked");
  }
  operation.check(status, "cudaMallocHost");
  return memory;
}

void release(void* memory, bool host) noexcept { host ? cudaFreeHost(memory) : cudaFree(memory); }

void copy(void* to, const void* from, std::size_t bytes, Stream stream) {
  const Operation operation("copy", {{"bytes", static_cast<std::int64_t>(bytes)}});
  if (bytes == 0) return;
  operation.check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream), "cudaMemcpyAsync");
}

void clear(void* memory, std::size_t bytes, Stream stream) {
  const Operation operation("clear", {{"bytes", static_cast<std::int64_t>(bytes)}});
  if (bytes == 0) return;
  operation.check(cudaMemsetAsync(memory, 0, bytes, stream), "cudaMemsetAsync");
}

void synchronize(Stream stream) {
  const Operation operation("synchronize", {});
  operation.check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
}

Stream create_stream() {
  const Operation operation("create_stream", {});
  Stream stream = nullptr;
  operation.check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking),
                  "cudaStreamCreateWithFlags");
  return stream;
}

void destroy_stream(Stream stream) noexcept { cudaStreamDestroy(stream); }

void wait_for(Stream stream, Stream other) {
  const Operation operation("wait_for", {});
  cudaEvent_t event = nullptr;
  operation.check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming),
                  "cudaEventCreateWithFlags");
  const cudaError_t recorded = cudaEventRecord(event, other),
                    waiting =
                        recorded == cudaSuccess ? cudaStreamWaitEvent(stream, event) : recorded;
  cudaEventDestroy(event);  // is freed when it has happened
  operation.check(waiting, "cudaStreamWaitEvent");
}

Event create_event() {
  const Operation operation("create_event", {});
  Event event = nullptr;
  operation.check(cudaEventCreateWithFlags(&event, cudaEventDefault), "cudaEventCreateWithFlags");
  return event;
}

void destroy_event(Event event) noexcept { cudaEventDestroy(event); }

void record_event(Event event, Stream stream) {
  const Operation operation("record_event", {});
  operation.check(cudaEventRecord(event, stream), "cudaEventRecord");
}

void synchronize_event(Event event) {
  const Operation operation("synchronize_event", {});
  operation.check(cudaEventSynchronize(event), "cudaEventSynchronize");
}

double seconds_between(Event start, Event end) {
  const Operation operation("seconds_between", {});
  operation.check(cudaEventSynchronize(end), "cudaEventSynchronize");
  float milliseconds = 0.0F;
  operation.check(cudaEventElapsedTime(&milliseconds, start, end), "cudaEventElapsedTime");
  return static_cast<double>(milliseconds) * 1e-3;
}

}  // namespace deadray::kernels::cuda
