#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "kernels/arithmetic/fnv1a.h"
#include "kernels/arithmetic/host_device.h"

/// Random tensors by counter: element i of a stream depends on (seed, stream, i) alone, so neither
/// threads, tiles, machine nor device change a bit. Every function fills out[0 … count) with
/// elements first … first + count of the stream, where first >= 0 and count >= 0.
namespace deadray::kernels {

/// The stream of a tensor: FNV-1a of its name.
constexpr std::uint64_t stream_of(std::string_view tensor_name) { return fnv1a(tensor_name); }

/// Normals of mean 0 and the given deviation, FP32; none lies beyond 6.7 deviations.
void random_normal(std::uint64_t seed, std::uint64_t stream, std::int64_t first, std::int64_t count,
                   float deviation, float* out);

/// Integers in [0, bound), 1 <= bound <= 2^32: the high half of word * bound. A value's probability
/// is off by less than 2^-32, so relatively by bound / 2^32 at most (6e-5 for a vocabulary of
/// 262144). Shares its words with random_normal: never draw both from one stream.
void random_uniform_int(std::uint64_t seed, std::uint64_t stream, std::int64_t first,
                        std::int64_t count, std::uint64_t bound, std::int64_t* out);

namespace cuda {

/// The same bits in device memory. @throws CudaError
void random_normal(std::uint64_t seed, std::uint64_t stream, std::int64_t first, std::int64_t count,
                   float deviation, float* out, Stream cuda_stream);
void random_uniform_int(std::uint64_t seed, std::uint64_t stream, std::int64_t first,
                        std::int64_t count, std::uint64_t bound, std::int64_t* out,
                        Stream cuda_stream);

}  // namespace cuda
}  // namespace deadray::kernels
