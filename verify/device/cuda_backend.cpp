#include "verify/device/cuda_backend.h"

#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <mutex>

#include "host/base/error.h"
#include "verify/base/dtypes.h"
#include "verify/device/channel.h"
#include "verify/device/cuda_channel.h"
#include "verify/device/factor.h"
#include "verify/device/softmax_variance.h"
#include "verify/module/device_module.h"
#include "verify/numerics/eigh.h"

namespace deadray {
namespace {

constexpr const char* kEmulation = "CPU emulation";  // tests/simt
// A copy of so many bytes takes ten times as long as starting it.
constexpr std::int64_t kStagingBytes = std::int64_t{32} << 20;

class CudaFactor final : public Factor {
 public:
  /// @param inverse  of the lower factor, column-major, as triangular_inverse() leaves it
  CudaFactor(CudaDevice& device, at::Tensor inverse)
      : device_(device),
        inverse_(std::move(inverse)),
        scratch_(at::empty({inverse_.size(0)}, device.fp64())) {}

  at::Tensor solve(const at::Tensor& right) const override {
    const at::Tensor x = right.contiguous(), y = at::empty_like(x);
    device_.operations().inverse_product(device_.context(), inverse_.const_data_ptr<double>(),
                                         inverse_.size(0), x.const_data_ptr<double>(),
                                         y.data_ptr<double>(), scratch_.data_ptr<double>(),
                                         device_.stream());
    return y;
  }

 private:
  CudaDevice& device_;
  at::Tensor inverse_, scratch_;
};

class CudaBackend final : public Backend {
 public:
  CudaBackend(const kernels::CudaOperations& operations, at::Device device, int index)
      : device_(operations, device, index), name_(operations.device_info(index).name) {
    if (!device.is_cpu())
      load_stream_ = c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device);
    // Here, because the constructor of device_ has made the device current in this thread.
    for (Staging& staging : staging_) staging.copied = device_.create_event();
  }

  at::Device device() const override { return device_.device(); }
  std::string description() const override {
    return fmt::format("cuda:{} ({})", device_.index(), name_);
  }
  std::optional<std::string> cuda_version() const override {
    const kernels::cuda::LibraryVersions versions = device_.operations().library_versions();
    return fmt::format(
        "{}, driver {}, cuBLAS {} (FP64 {}), cuSOLVER {}", cuda_version_text(versions.runtime),
        cuda_version_text(versions.driver), versions.cublas,
        device_.operations().emulates_fp64(device_.context()) ? "emulated" : "not emulated",
        versions.cusolver);
  }

  std::unique_ptr<Channel> make_channel(ChannelSpec spec) override {
    return make_cuda_channel(device_, spec);
  }
  Eigendecomposition eigh(const at::Tensor& c) override;
  std::unique_ptr<Factor> factor(const at::Tensor& work) override;

  at::Tensor softmax_variance(const at::Tensor& h, const Decoder& decoder,
                              const at::Tensor& u) override;

  void load(const std::function<void()>& work) override;
  bool loads_ahead() const override { return true; }
  void random_normal(std::uint64_t seed, std::uint64_t stream, std::int64_t first, float deviation,
                     const at::Tensor& out) override {
    // Another dtype goes through a buffer, so that drawing never takes twice the memory.
    constexpr std::int64_t kConvertedAtOnce = std::int64_t{1} << 22;
    const bool is_fp32 = out.scalar_type() == at::kFloat;
    const std::int64_t count = out.numel(), piece = is_fp32 ? count : kConvertedAtOnce;
    const at::Tensor flat = out.view({-1}),
                     buffer = is_fp32 ? flat
                                      : at::empty({std::min(piece, count)},
                                                  out.options().dtype(at::kFloat));
    for (std::int64_t begin = 0; begin < count; begin += piece) {
      const at::Tensor drawn = buffer.narrow(0, 0, std::min(piece, count - begin));
      device_.operations().random_normal(seed, stream, first + begin, drawn.numel(), deviation,
                                         drawn.data_ptr<float>(), device_.stream());
      if (!is_fp32) flat.narrow(0, begin, drawn.numel()).copy_(drawn);
    }
  }
  void fill(const at::Tensor& out, const Reader& read) override;

  void synchronize() override { device_.operations().synchronize(device_.stream()); }
  void release_unused() override { device_.release_unused(); }
  void trim_heap() override {}
  std::size_t free_bytes() const override { return device_.free_bytes(); }

 private:
  struct Staging {
    CudaMemory memory;  // page-locked
    CudaEvent copied;   // behind the last copy out of it
  };

  CudaDevice device_;
  std::string name_;
  std::optional<c10::Stream> load_stream_;
  std::array<Staging, 2> staging_;
  std::int64_t staging_bytes_ = 0;
  std::mutex loading_;  // held by the thread that uses load_stream_ and staging_
};

Eigendecomposition CudaBackend::eigh(const at::Tensor& c) {
  const kernels::CudaOperations& operations = device_.operations();
  const std::int64_t n = c.size(0);
  const at::Tensor vectors = c.clone(at::MemoryFormat::Contiguous),
                   values = at::empty({n}, device_.fp64());
  const std::size_t bytes = operations.eigh_workspace(device_.context(), n);
  const auto result =
      operations.eigh(device_.context(), vectors.data_ptr<double>(), n, values.data_ptr<double>(),
                      device_.workspace(bytes), bytes, device_.stream());
  return {values, vectors.t(), result.residual, result.orthogonality,
          fmt::format("cuSOLVER {}", kernels::cuda::to_string(result.driver))};
}

std::unique_ptr<Factor> CudaBackend::factor(const at::Tensor& work) {
  const kernels::CudaOperations& operations = device_.operations();
  const std::int64_t n = work.size(0);
  const std::size_t bytes = operations.cholesky_workspace(device_.context(), n);
  void* const workspace = device_.workspace(bytes);
  auto* const matrix = work.data_ptr<double>();
  if (!operations.cholesky(device_.context(), matrix, n, workspace, bytes, device_.stream()))
    return nullptr;
  operations.triangular_inverse(device_.context(), matrix, n, workspace, bytes, device_.stream());
  return std::make_unique<CudaFactor>(device_, work);
}

at::Tensor CudaBackend::softmax_variance(const at::Tensor& h, const Decoder& decoder,
                                         const at::Tensor& u) {
  const kernels::CudaOperations& operations = device_.operations();
  const at::Tensor out = at::empty({h.size(0), u.size(0)}, device_.fp64()),
                   directions = u.contiguous();
  const std::size_t bytes =
      operations.head_fisher_workspace(h.size(0), h.size(1), decoder.weight.size(0), u.size(0));
  operations.head_fisher(device_.context(), rows_of(h), rows_of(decoder.weight),
                         decoder.arguments(), directions.const_data_ptr<double>(), u.size(0),
                         out.data_ptr<double>(), device_.workspace(bytes), bytes, device_.stream());
  return out;
}

// On a stream of its own, whose memory libtorch keeps apart. The two streams need no further
// ordering: loading has ended when this returns, and the executor waits for a block's computation
// before it frees the block's weights.
void CudaBackend::load(const std::function<void()>& work) {
  // An expert is loaded when a token chooses it, perhaps while another thread loads the next block.
  const std::lock_guard alone(loading_);
  device_.operations().use_device(device_.index());  // a thread that has just begun is on device 0
  if (!load_stream_) return work();
  const c10::StreamGuard beside(*load_stream_);
  work();
  load_stream_->synchronize();
}

// Through two buffers in turn: one is read into while the other is copied. Before reading, it waits
// for the last copy out of the same buffer alone.
void CudaBackend::fill(const at::Tensor& out, const Reader& read) {
  const auto element = static_cast<std::int64_t>(out.element_size());
  if (const std::int64_t wanted = std::min(kStagingBytes, out.numel() * element);
      wanted > staging_bytes_) {
    staging_bytes_ = 0;
    for (Staging& staging : staging_) staging.memory.reset();
    for (Staging& staging : staging_)
      staging.memory = device_.allocate(static_cast<std::size_t>(wanted), /*host=*/true);
    staging_bytes_ = wanted;
  }
  const kernels::CudaOperations& operations = device_.operations();
  const std::int64_t piece = std::max<std::int64_t>(1, staging_bytes_ / element);
  auto* const place = static_cast<std::byte*>(out.data_ptr());
  for (std::int64_t first = 0, turn = 0; first < out.numel(); first += piece, ++turn) {
    const Staging& staging = staging_[static_cast<std::size_t>(turn % 2)];
    const std::int64_t count = std::min(piece, out.numel() - first);
    operations.synchronize_event(staging.copied.get());
    read(first, count, staging.memory.get());
    operations.copy(place + first * element, staging.memory.get(),
                    static_cast<std::size_t>(count * element), device_.stream());
    operations.record_event(staging.copied.get(), device_.stream());
  }
  operations.synchronize(device_.stream());
}

}  // namespace

std::unique_ptr<Backend> make_cuda_backend(int index) {
  const kernels::CudaOperations& operations = operations_of_device(index);
  if (operations.device_info(index).name == kEmulation)
    return make_cuda_backend(operations, at::kCPU, index);
  if (dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) == nullptr)
    throw ResourceError(fmt::format(
        "libtorch's CUDA side cannot be loaded: {}; install torch with its CUDA libraries",
        dlerror()));
  at::globalContext().lazyInitDevice(at::kCUDA);
  return make_cuda_backend(operations, at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(index)),
                           index);
}

std::unique_ptr<Backend> make_cuda_backend(const kernels::CudaOperations& operations,
                                           at::Device device, int index) {
  return std::make_unique<CudaBackend>(operations, device, index);
}

}  // namespace deadray
