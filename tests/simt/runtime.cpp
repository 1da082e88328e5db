#include <cuda_runtime.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>

/// The CUDA run time as far as the kernels use it, on host memory: "device" memory is malloc's,
/// filled with NaN, and every call is done when it returns.
namespace {

thread_local cudaError_t last_error = cudaSuccess;  // kept until somebody asks, as the real one is

using Clock = std::chrono::steady_clock;  // an event is a place for its time

/// Memory of one kind, as much of it as a variable of the environment says, in bytes: allocations
/// beyond fail as they do on a device.
class Memory {
 public:
  explicit Memory(const char* capacity) : capacity_(capacity) {}

  std::size_t capacity() const {
    const char* text = std::getenv(capacity_);
    return text ? std::strtoull(text, nullptr, 10) : std::size_t{4} << 30;
  }
  std::size_t used() const {
    const std::lock_guard<std::mutex> lock(lock_);
    return used_;
  }

  cudaError_t allocate(void** memory, std::size_t bytes) {
    const std::lock_guard<std::mutex> lock(lock_);
    if (used_ + bytes > capacity()) return last_error = cudaErrorMemoryAllocation;
    *memory = std::malloc(bytes > 0 ? bytes : 1);
    if (!*memory) return last_error = cudaErrorMemoryAllocation;
    std::memset(*memory, 0xff, bytes);
    sizes_[*memory] = bytes;
    used_ += bytes;
    return cudaSuccess;
  }

  cudaError_t release(void* memory) {
    if (!memory) return cudaSuccess;
    const std::lock_guard<std::mutex> lock(lock_);
    const auto place = sizes_.find(memory);
    if (place == sizes_.end()) return cudaErrorInvalidValue;
    used_ -= place->second;
    sizes_.erase(place);
    std::free(memory);
    return cudaSuccess;
  }

 private:
  const char* capacity_;
  mutable std::mutex lock_;
  std::map<void*, std::size_t> sizes_;
  std::size_t used_ = 0;
};

Memory& device_memory() {
  static Memory memory("DEADRAY_SIMT_MEMORY");
  return memory;
}
Memory& host_memory() {  // page-locked
  static Memory memory("DEADRAY_SIMT_HOST_MEMORY");
  return memory;
}

int number_in(const char* variable) {
  const char* text = std::getenv(variable);
  return text ? std::atoi(text) : 0;
}

}  // namespace

extern "C" {

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  return device_memory().allocate(memory, bytes);
}
cudaError_t cudaFree(void* memory) { return device_memory().release(memory); }
cudaError_t cudaMallocHost(void** memory, size_t bytes) {
  return host_memory().allocate(memory, bytes);
}
cudaError_t cudaFreeHost(void* memory) { return host_memory().release(memory); }
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind,
                            cudaStream_t) {
  if (bytes > 0) std::memmove(to, from, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t) {
  std::memset(memory, value, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
  *total_bytes = device_memory().capacity();
  *free_bytes = *total_bytes - device_memory().used();
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  // Of a system on which CUDA does not start.
  const auto status = static_cast<cudaError_t>(number_in("DEADRAY_SIMT_STATUS"));
  if (status != cudaSuccess) return last_error = status;
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) { return device == 0 ? cudaSuccess : cudaErrorInvalidDevice; }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {};
  std::strcpy(properties->name, "CPU emulation");
  properties->major = 9;
  properties->multiProcessorCount = 2;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  *value = attribute == cudaDevAttrMultiProcessorCount ? 2 : 0;
  return cudaSuccess;
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void*, int, size_t) {
  *blocks = 2;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  *least = 0, *greatest = -5;
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned, int priority) {
  *stream = nullptr;
  return priority == -5 ? cudaSuccess : cudaErrorInvalidValue;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = nullptr;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = reinterpret_cast<cudaEvent_t>(new Clock::time_point);
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete reinterpret_cast<Clock::time_point*>(event);
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) {
  *reinterpret_cast<Clock::time_point*>(event) = Clock::now();
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  const Clock::duration between =
      *reinterpret_cast<Clock::time_point*>(end) - *reinterpret_cast<Clock::time_point*>(start);
  *milliseconds = std::chrono::duration<float, std::milli>(between).count();
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = number_in("DEADRAY_SIMT_DRIVER");  // 0: none
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }
const char* cudaGetErrorName(cudaError_t status) {
  return status == cudaErrorMemoryAllocation ? "cudaErrorMemoryAllocation"
         : status == cudaErrorSystemNotReady ? "cudaErrorSystemNotReady"
                                             : "cudaError";
}
const char* cudaGetErrorString(cudaError_t status) {
  return status == cudaErrorMemoryAllocation ? "out of memory"
         : status == cudaErrorSystemNotReady ? "system not yet initialized"
                                             : "error";
}

}  // extern "C"
