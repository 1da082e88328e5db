#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "kernels/arithmetic/host_device.h"

/// What a caller needs of a device besides the operations: it need not know the CUDA run time.
namespace deadray::kernels::cuda {

/// cuBLAS and cuSOLVER handles of one device with a workspace of their own, so that no call
/// allocates device memory. The host memory that cuSOLVER wants is taken when it is first wanted,
/// and kept. For one thread and one stream at a time: work on a second stream must be ordered
/// behind the first's.
struct Context;
Context* create_context(int device);              ///< makes `device` current. @throws CudaError
void destroy_context(Context* context) noexcept;  ///< null is fine

struct DeviceInfo {
  std::string name;
  int major = 0, minor = 0, multiprocessors = 0;
  std::size_t total_bytes = 0, free_bytes = 0;
};
/// 0 without a device or a driver.
/// @throws CudaError, as a rule of kind no_device, where there is one that cannot be used: a driver
/// that is too old, a fabric that is not up
int device_count();
DeviceInfo device_info(int device);
/// Makes `device` current in this thread. create_context() does it too; what takes a stream and no
/// context needs it.
void use_device(int device);

/// The versions in use, as each names itself: CUDA as 1000 major + 10 minor, libraries as "13.1.0".
struct LibraryVersions {
  int driver = 0, runtime = 0;
  std::string cublas, cusolver;
  /// The files that were loaded: which of several copies on a machine it was.
  std::string cublas_file, cusolver_file;
};
LibraryVersions library_versions();
/// Whether this context's products in FP64 may be computed by arithmetic of fewer bits, as cuBLAS
/// from CUDA 13.0 Update 2 on can on some devices. create_context() turns it off, whatever the
/// environment asks for.
bool emulates_fp64(Context& context);

/// Device memory, or, for `host`, page-locked memory of the host.
/// @throws CudaError of kind out_of_memory or out_of_host_memory
void* allocate(std::size_t bytes, bool host = false);
void release(void* memory, bool host = false) noexcept;
/// Either side may be the host; asynchronous on `stream` as far as page-locked memory allows.
/// @throws CudaError
void copy(void* to, const void* from, std::size_t bytes, Stream stream);
void clear(void* memory, std::size_t bytes, Stream stream);
void synchronize(Stream stream);  ///< @throws CudaError, of earlier asynchronous work too

Stream create_stream();
void destroy_stream(Stream stream) noexcept;
/// Work put on `stream` from now on waits for what is on `other` now.
void wait_for(Stream stream, Stream other);

/// A mark on a stream that carries the device's time; of the device that is current.
Event create_event();
void destroy_event(Event event) noexcept;
void record_event(Event event, Stream stream);
/// Waits for what was on the stream when `event` was last recorded; for nothing if it never was.
/// @throws CudaError, of that work too
void synchronize_event(Event event);
/// Waits for `end`, which was recorded after `start`.
/// @throws CudaError, of earlier asynchronous work too
double seconds_between(Event start, Event end);

}  // namespace deadray::kernels::cuda
