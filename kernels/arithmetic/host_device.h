#pragma once

/// Marks arithmetic that the CPU counterparts and the device code share. Always inlined, so that
/// each build of a caller compiles it anew.
#if defined(__CUDACC__)
#define DEADRAY_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define DEADRAY_HOST_DEVICE inline __attribute__((always_inline))
#endif

/// Builds a function for AVX2 and AVX-512 too and picks one when the program is loaded. The
/// sanitizers run before that choice can.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define DEADRAY_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define DEADRAY_CLONES
#endif

struct CUstream_st;
struct CUevent_st;

namespace deadray::kernels {

/// cudaStream_t, without the CUDA headers.
using Stream = ::CUstream_st*;
/// cudaEvent_t.
using Event = ::CUevent_st*;

}  // namespace deadray::kernels
