#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>

#include "host/architecture/architecture.h"
#include "verify/device/backend.h"

namespace deadray {

class LayerHook;  // verify/layers/layer_hook.h

/// Where a model's tensors come from, one at a time, so that no more than a block need be in
/// memory; and where they go, the backend on which the model runs.
class Weights {
 public:
  virtual ~Weights() = default;
  /// Name of a tensor or stem in this source, as norm_sites() gives it.
  std::string name(const std::string& spec_name, std::int64_t block = -1) const {
    return full_name(spec_name, prefix_, block);
  }
  /// The tensor's name in this source less its last component: what Consumer::name is for a linear
  /// map's weight.
  virtual std::string stem(const TensorSpec& spec, std::int64_t block) const;
  /// Who watches the linear map or norm of this stem; null as a rule.
  virtual LayerHook* hook(const std::string& /*stem*/) const { return nullptr; }
  /// Writes the tensor, as stored, into `out` (its shape; any float dtype; contiguous; on the
  /// backend's device).
  /// @throws MalformedError when the checkpoint lacks it or gives another shape
  /// @throws UnsupportedError when it is quantised
  virtual void read(const TensorSpec& spec, std::int64_t block, at::Tensor out) const = 0;
  /// Writes rows ids[0], ids[1], … of a [rows, d] tensor into `out` [ids, d] on the backend's
  /// device; reads no others.
  virtual void read_rows(const TensorSpec& spec, const at::Tensor& ids, at::Tensor out) const = 0;
  /// Says that the matrices of a dense block are wanted soon. A source that can fetch them beside
  /// the computation does.
  virtual void will_need(const BlockSpec& /*block*/, std::int64_t /*index*/) const {}
  /// `spec`, or that alternative of it which this source holds.
  virtual const LinearSpec& as_stored(const LinearSpec& spec, std::int64_t /*block*/) const {
    return spec;
  }
  /// What these weights move along, for a pass that carries derivatives: K sources whose read() and
  /// read_rows() give the derivative of each tensor along direction k, as stored. Empty as a rule.
  /// What tensors of a vision tower or a predictor move along is not followed to the output.
  virtual std::span<const Weights* const> tangents() const { return {}; }
  /// Of such a source: whether this tensor's derivative is not all zero. Only then is it read.
  /// @param spec  may be an alternative of as_stored(), an expert's part of a fused tensor, or the
  ///     table of tokens that a tied decoder reads
  virtual bool moves(const TensorSpec& /*spec*/, std::int64_t /*block*/) const { return true; }
  /// Whether logits can be computed.
  virtual bool has_head() const = 0;

  Backend& backend() const noexcept { return *backend_; }
  at::Tensor empty(at::IntArrayRef shape, at::ScalarType dtype) const {
    return at::empty(shape, at::device(backend_->device()).dtype(dtype));
  }
  at::Tensor load(const TensorSpec& spec, std::int64_t block, at::ScalarType dtype) const;
  /// Loads in the middle of a computation and counts the wait in waited().
  void load_now(const std::function<void()>& work) const;
  /// Seconds inside load_now() since this object was made.
  double waited() const noexcept { return waited_; }

 protected:
  /// Elements that a source converts to another dtype at once.
  static constexpr std::int64_t kConvertedAtOnce = std::int64_t{1} << 22;

  Weights(std::string prefix, Backend& backend) : prefix_(std::move(prefix)), backend_(&backend) {}
  std::string prefix_;
  Backend* backend_;

 private:
  mutable double waited_ = 0.0;
};

}  // namespace deadray
