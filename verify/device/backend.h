#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace deadray {

class Channel;
class Factor;
struct ChannelSpec;
struct Decoder;
struct Eigendecomposition;

/// Where a measurement is computed: on the CPU, or on a device through the module of
/// kernels/module/cuda_operations.h. Tensors live on device() throughout; only spectra and scalars
/// come back to the host. All calls come from one thread, except where runs_side_by_side(), and
/// those inside load(): they may come from a second thread meanwhile.
/// @throws what libtorch and the kernels throw: c10::Error, kernels::CudaError
class Backend {
 public:
  virtual ~Backend() = default;
  virtual at::Device device() const = 0;
  /// For records: "cpu", "cuda:0 (NVIDIA H100 80GB HBM3)".
  virtual std::string description() const = 0;
  /// Versions of CUDA's run time, driver and libraries; absent on the CPU.
  virtual std::optional<std::string> cuda_version() const = 0;

  /// Whether pieces of work may call the functions below side by side. Not on a device, where each
  /// keeps all of it busy.
  virtual bool runs_side_by_side() const { return false; }

  // Measuring: verify/device/channel.h, eigh.h, factor.h and softmax_variance.h have the types.

  virtual std::unique_ptr<Channel> make_channel(ChannelSpec spec) = 0;
  virtual Eigendecomposition eigh(const at::Tensor& c) = 0;
  /// All eigenvalues, and at least the eigenvectors of the `count` smallest. A backend that has
  /// nothing cheaper takes the full decomposition.
  virtual Eigendecomposition bottom_eigh(const at::Tensor& c, std::int64_t count);
  /// @param work [d, d] FP64, symmetric, row-major; overwritten
  /// @return null where it is not numerically positive definite
  virtual std::unique_ptr<Factor> factor(const at::Tensor& work) = 0;
  /// Var_p(slope u_k) of every row of h: z are its logits by the decoder, p their softmax, slope
  /// the derivative of z by W h.
  /// @param h [n, d]   @param u [K, vocabulary] FP64
  /// @return [n, K] FP64, like the arguments on device()
  virtual at::Tensor softmax_variance(const at::Tensor& h, const Decoder& decoder,
                                      const at::Tensor& u) = 0;

  // Weights.

  /// Runs `work`, which reads and draws weights, beside the computation that goes on. The weights
  /// are there when it returns. Of two threads that call it, one waits for the other.
  virtual void load(const std::function<void()>& work) = 0;
  /// Whether the next block is to be loaded while the current one computes.
  virtual bool loads_ahead() const = 0;
  /// Element i of `out` (contiguous, any float dtype) becomes normal number `i + first` of a
  /// stream, drawn in FP32: the same bits on every backend.
  virtual void random_normal(std::uint64_t seed, std::uint64_t stream, std::int64_t first,
                             float deviation, const at::Tensor& out) = 0;
  /// Writes elements first … first + count to host memory, in the dtype of the tensor to be filled.
  using Reader = std::function<void(std::int64_t first, std::int64_t count, void* to)>;
  /// @param out  contiguous
  virtual void fill(const at::Tensor& out, const Reader& read) = 0;

  // Time and memory.

  /// Waits for everything that was asked for.
  virtual void synchronize() = 0;
  /// Gives back memory that is kept for later use.
  virtual void release_unused() = 0;
  /// To be called where many tensors of a few megabytes have just been freed. The CPU's heap then
  /// has holes that later tensors do not fill, and gives them back to the system. Devices do
  /// nothing: their allocator keeps pieces by size, and new memory is expensive there.
  virtual void trim_heap() = 0;
  /// Bytes of the device's memory that are free or kept unused; 0 where nobody counts (the CPU).
  virtual std::size_t free_bytes() const = 0;
};

/// What every function uses that is not given another.
Backend& cpu_backend();

}  // namespace deadray
