#pragma once

#include <ATen/ATen.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "host/architecture/norm_parameters.h"
#include "host/architecture/norm_site.h"
#include "kernels/cuda/cuda_error.h"
#include "kernels/operations/head_fisher.h"
#include "verify/device/eigh.h"

// Where a measurement is computed: on the CPU, or on a device through the module of
// kernels/module/cuda_operations.h. Tensors live on device() throughout; spectra and scalars alone
// come back to the host.
namespace deadray {

/// A norm that is recomputed in FP64 from its input, minus beta: gamma * z.
struct RecomputedNorm {
  NormSite site;
  NormParameters parameters;
};

/// What a channel measures of the rows that pass it.
struct ChannelSpec {
  std::int64_t hidden_size = 0;
  std::optional<RecomputedNorm> norm{};  ///< absent: the rows as they are
  at::Tensor shift{};  ///< [d] FP64, taken off before the projections, near the mean; undefined:
                       ///< the first tile's mean
  at::Tensor directions{};  ///< [K, d] FP64 unit rows; undefined: none
  bool covariance = true;   ///< false: nothing of size d^2 is kept
};

/// First and second moments of the rows of one channel, FP64.
struct RowMoments {
  std::int64_t count = 0;
  at::Tensor mean{};  ///< [d]; with `covariance`
  at::Tensor
      covariance{};  ///< [d, d], divisor N, exactly symmetric; undefined unless it was asked for
  at::Tensor variance{};  ///< [K] along the directions, rows projected first, on the CPU; undefined
                          ///< without directions
};
at::Tensor second_moment(const RowMoments& moments);  ///< [d, d], uncentred E[h h^T]

/// The end of a model: logits = cap(scale (W h + bias)).
struct Decoder {
  at::Tensor weight;  ///< [vocabulary, d], of the dtype of h
  at::Tensor bias;    ///< [vocabulary] FP64, or undefined
  double scale = 1.0, soft_cap = 0.0;

  kernels::LogitArguments arguments() const {
    return {bias.defined() ? bias.const_data_ptr<double>() : nullptr, scale, soft_cap};
  }
};

/// Accumulates the moments of rows that arrive tile by tile. One thread.
class Channel {
 public:
  virtual ~Channel() = default;
  /// Takes the memory that add() of these rows needs, so that a tile counts whole or not at all:
  /// add() of them then cannot want for any.
  virtual void reserve(const at::Tensor& rows) = 0;
  /// @param rows  [n, d] in any float dtype, on the backend's device; n may be 0
  virtual void add(const at::Tensor& rows) = 0;
  virtual RowMoments finish() = 0;  ///< once, after the last row
};

/// A symmetric positive definite matrix, factored.
class Factor {
 public:
  virtual ~Factor() = default;
  virtual at::Tensor solve(const at::Tensor& right) const = 0;  ///< [d] -> [d]
};

/// @throws what libtorch and the kernels throw: c10::Error, kernels::CudaError. Within one backend
/// all calls come from one thread, but for those inside load(), which may come from a second one
/// meanwhile.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual at::Device device() const = 0;
  virtual std::string description()
      const = 0;  ///< for records: "cpu", "cuda:0 (NVIDIA H100 80GB HBM3)"
  virtual std::optional<std::string> cuda_version()
      const = 0;  ///< of run time, driver and libraries; absent on the CPU

  virtual std::unique_ptr<Channel> make_channel(ChannelSpec spec) = 0;
  virtual Eigendecomposition eigh(const at::Tensor& c) = 0;
  /// All eigenvalues, and at least the eigenvectors of the `count` smallest; a full decomposition
  /// where the backend has nothing cheaper.
  virtual Eigendecomposition bottom_eigh(const at::Tensor& c, std::int64_t /*count*/) {
    return eigh(c);
  }
  /// @param work [d, d] FP64, symmetric, row-major; overwritten
  /// @return null where it is not numerically positive definite
  virtual std::unique_ptr<Factor> factor(const at::Tensor& work) = 0;

  /// Var_p(slope u_k) of every row, p its softmax: kernels::head_fisher().
  /// @param h [n, d]   @param u [K, vocabulary] FP64   @return [n, K] FP64, all on the backend's
  /// device
  virtual at::Tensor head_fisher(const at::Tensor& h, const Decoder& decoder,
                                 const at::Tensor& u) = 0;

  /// Runs `work`, which reads and draws weights, beside the computation that goes on; they are
  /// there when it returns. Where both threads come, one waits for the other.
  virtual void load(const std::function<void()>& work) = 0;
  virtual bool loads_ahead()
      const = 0;  ///< whether the next block is to be loaded while the current one computes
  /// Element i of `out` (contiguous, FP32) is normal `i + first` of a stream: the same bits on
  /// every backend.
  virtual void random_normal(std::uint64_t seed, std::uint64_t stream, std::int64_t first,
                             float deviation, const at::Tensor& out) = 0;
  /// Writes elements first … first + count, in the dtype of the tensor that is filled, to host
  /// memory.
  using Reader = std::function<void(std::int64_t first, std::int64_t count, void* to)>;
  virtual void fill(const at::Tensor& out, const Reader& read) = 0;  ///< `out` contiguous

  virtual void synchronize() = 0;     ///< waits for everything that was asked for
  virtual void release_unused() = 0;  ///< gives back memory that is kept for later use
  virtual void mixture_done() = 0;  ///< the experts of a block are gone: a moment to give back what
                                    ///< they leave in pieces
  virtual std::size_t free_bytes()
      const = 0;  ///< of the device's memory, kept unused or free; 0 where nobody counts (the CPU)
};

/// What every function takes that is not told otherwise.
Backend& cpu_backend();

/// Whether f found the memory that it asked the device for. Any other failure is passed on; so is
/// want of the host's memory.
template <class F>
bool fits(F&& f) {
  try {
    f();
    return true;
  } catch (const c10::OutOfMemoryError&) {
  } catch (const kernels::CudaError& error) {
    if (error.kind() != kernels::CudaError::Kind::out_of_memory) throw;
  }
  return false;
}

}  // namespace deadray
