#include "verify/device/cuda_channel.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "host/base/error.h"
#include "verify/base/dtypes.h"
#include "verify/base/tensors.h"
#include "verify/device/channel.h"

namespace deadray {
namespace {

constexpr std::int64_t kShiftRows = 256;  // enough for a mean near the mean of all

static_assert(sizeof(kernels::RunningMoments) == 3 * sizeof(double));

class CudaChannel final : public Channel {
 public:
  CudaChannel(CudaDevice& device, const ChannelSpec& spec)
      : device_(device),
        hidden_size_(spec.hidden_size),
        shift_(placed(spec.shift)),
        directions_(placed(spec.directions)) {
    if (spec.norm) {
      norm_.type = spec.norm->site.kind == NormKind::layernorm ? kernels::NormType::layernorm
                                                               : kernels::NormType::rmsnorm;
      gamma_ = placed(to_tensor(spec.norm->parameters.gamma));
      norm_.gamma = gamma_.const_data_ptr<double>();
      norm_.eps = spec.norm->site.eps;
    } else {
      norm_.type = kernels::NormType::identity;
    }
    if (spec.covariance) {
      sums_ = at::zeros({hidden_size_}, device.fp64());
      gram_ = at::zeros({hidden_size_, hidden_size_}, device.fp64());
    }
    if (directions_.defined()) {
      moments_ = at::zeros({n_directions(), 3}, device.fp64());
      const std::size_t bytes =
          device.operations().directional_weights_bytes(n_directions(), hidden_size_);
      weights_ = at::empty({static_cast<std::int64_t>(bytes / sizeof(double))}, device.fp64());
    }
  }

  void reserve(const at::Tensor& rows) override {
    expect(rows);
    const std::int64_t n = rows.size(0);
    if (n == 0) return;
    device_.workspace(workspace_bytes(n));
    if (gram_.defined() && !centre_.defined())
      centre_ = centre_of(rows.narrow(0, 0, std::min(n, kShiftRows)));
  }

  void add(const at::Tensor& rows) override {
    reserve(rows);
    if (rows.size(0) == 0) return;
    const at::Tensor dense = readable(rows);
    const kernels::CudaOperations& operations = device_.operations();
    const std::size_t bytes = workspace_bytes(rows.size(0));
    if (gram_.defined())
      operations.add_moments(device_.context(), rows_of(dense), shifted_by(centre_),
                             sums_.data_ptr<double>(), gram_.data_ptr<double>(),
                             device_.workspace(bytes), bytes, device_.stream());
    if (n_directions() > 0) {
      prepare_weights(rows_of(dense).type);
      operations.directional_variance(
          rows_of(dense), norm_.type, norm_.eps, weights_.const_data_ptr<double>(), n_directions(),
          reinterpret_cast<kernels::RunningMoments*>(moments_.data_ptr<double>()),
          device_.workspace(bytes), device_.stream());
    }
    count_ += rows.size(0);
  }

  RowMoments finish() override {
    RowMoments result{count_};
    if (gram_.defined()) {
      result.mean = at::empty({hidden_size_}, device_.fp64());
      device_.operations().finish_moments(
          count_, hidden_size_, /*centred=*/true, sums_.const_data_ptr<double>(),
          result.mean.data_ptr<double>(), gram_.data_ptr<double>(), device_.stream());
      if (centre_.defined()) result.mean.add_(centre_);
      result.covariance = std::move(gram_);
    }
    if (moments_.defined()) {
      const at::Tensor moments = moments_.cpu();
      result.projected = moments.select(1, 1).contiguous();
      result.variance =
          moments.select(1, 2) / static_cast<double>(std::max<std::int64_t>(count_, 1));
    }
    return result;
  }

 private:
  at::Tensor placed(const at::Tensor& values) const {
    return values.defined() ? values.to(device_.fp64()).contiguous() : values;
  }
  std::int64_t n_directions() const { return directions_.defined() ? directions_.size(0) : 0; }

  void expect(const at::Tensor& rows) const {
    if (rows.dim() != 2 || rows.size(1) != hidden_size_ || rows.device() != device_.device())
      throw InternalError(fmt::format("moments: rows of shape {} on {} but expected [n, {}] on {}",
                                      c10::str(rows.sizes()), rows.device().str(), hidden_size_,
                                      device_.device().str()));
  }

  /// No copy of what a model makes: its rows are dense, and in a type that the kernels read.
  static at::Tensor readable(const at::Tensor& rows) {
    return (rows.scalar_type() == at::kHalf ? rows.to(at::kFloat) : rows).contiguous();
  }
  kernels::NormArguments shifted_by(const at::Tensor& shift) const {
    kernels::NormArguments arguments = norm_;
    if (shift.defined()) arguments.shift = shift.const_data_ptr<double>();
    return arguments;
  }

  /// Once, as long as the rows' type stays the same.
  void prepare_weights(kernels::ElementType type) {
    if (weights_type_ == type) return;
    device_.operations().prepare_directional_weights(
        shifted_by(shift_), type, hidden_size_, directions_.const_data_ptr<double>(),
        n_directions(), weights_.data_ptr<double>(), device_.stream());
    weights_type_ = type;
  }

  std::size_t workspace_bytes(std::int64_t n) const {
    const kernels::CudaOperations& operations = device_.operations();
    return std::max(
        gram_.defined() ? operations.add_moments_workspace(n, hidden_size_) : 0,
        n_directions() > 0 ? operations.directional_variance_workspace(n_directions()) : 0);
  }

  /// Mean of what is measured of these rows, relative to the first, so that equal rows have exactly
  /// their own mean.
  at::Tensor centre_of(const at::Tensor& rows) const {
    const at::Tensor dense = readable(rows),
                     measured = at::empty({dense.size(0), hidden_size_}, device_.fp64());
    device_.operations().norm_recompute(rows_of(dense), norm_, measured.data_ptr<double>(),
                                        device_.stream());
    const at::Tensor first = measured[0].clone();
    return first + measured.sub_(first).mean(0);
  }

  CudaDevice& device_;
  std::int64_t hidden_size_, count_ = 0;
  kernels::NormArguments norm_;
  at::Tensor shift_, directions_, gamma_, centre_;
  at::Tensor sums_, gram_;  // about centre_; as add_moments() leaves them
  at::Tensor moments_;      // [K, 3], RunningMoments of the projections
  at::Tensor weights_;      // what prepare_directional_weights() makes, for rows of weights_type_
  std::optional<kernels::ElementType> weights_type_;
};

}  // namespace

std::unique_ptr<Channel> make_cuda_channel(CudaDevice& device, const ChannelSpec& spec) {
  return std::make_unique<CudaChannel>(device, spec);
}

}  // namespace deadray
