#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "host/architecture/architecture.h"
#include "host/formats/checkpoint.h"
#include "verify/device/backend.h"
#include "verify/layers/layer_hook.h"

namespace deadray {

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
  /// @throws MalformedError when the checkpoint lacks it or gives another shape, UnsupportedError
  /// when it is quantised
  virtual void read(const TensorSpec& spec, std::int64_t block, at::Tensor out) const = 0;
  /// Writes rows ids[0], ids[1], … of a [rows, d] tensor into `out` [ids, d] on the backend's
  /// device; reads no others.
  virtual void read_rows(const TensorSpec& spec, const at::Tensor& ids, at::Tensor out) const = 0;
  /// The matrices of a dense block are wanted soon: whatever can fetch them beside the computation
  /// does.
  virtual void will_need(const BlockSpec& /*block*/, std::int64_t /*index*/) const {}
  /// `spec`, or that alternative of it which this source holds.
  virtual const LinearSpec& as_stored(const LinearSpec& spec, std::int64_t /*block*/) const {
    return spec;
  }
  virtual bool has_head() const = 0;  ///< whether logits can be computed

  Backend& backend() const noexcept { return *backend_; }
  at::Tensor empty(at::IntArrayRef shape, at::ScalarType dtype) const {
    return at::empty(shape, at::device(backend_->device()).dtype(dtype));
  }
  at::Tensor load(const TensorSpec& spec, std::int64_t block, at::ScalarType dtype) const;
  /// Loads in the middle of a computation, whose clock is to know of the wait.
  void load_now(const std::function<void()>& work) const;
  double waited() const noexcept { return waited_; }  ///< seconds inside load_now(), ever

 protected:
  Weights(std::string prefix, Backend& backend) : prefix_(std::move(prefix)), backend_(&backend) {}
  std::string prefix_;
  Backend* backend_;

 private:
  mutable double waited_ = 0.0;
};

class CheckpointWeights final : public Weights {
 public:
  CheckpointWeights(const Architecture& architecture, const Checkpoint& checkpoint,
                    Backend& backend = cpu_backend());
  void read(const TensorSpec& spec, std::int64_t block, at::Tensor out) const override;
  void read_rows(const TensorSpec& spec, const at::Tensor& ids, at::Tensor out) const override;
  void will_need(const BlockSpec& block, std::int64_t index) const override;
  /// The tensors that will_need() asks for: those that loading the block's dense matrices will
  /// read, by whatever name they are stored.
  std::vector<const TensorInfo*> dense_matrices(const BlockSpec& block, std::int64_t index) const;
  const LinearSpec& as_stored(const LinearSpec& spec, std::int64_t block) const override;
  std::string stem(const TensorSpec& spec, std::int64_t block) const override;
  bool has_head() const override;

 private:
  struct Place {
    const TensorInfo* tensor;  // null: the checkpoint lacks it
    std::int64_t first;        // element of it
  };
  Place look_up(const TensorSpec& spec, std::int64_t block) const;
  Place find(const TensorSpec& spec, std::int64_t block) const;  // as read() throws
  const Architecture& architecture_;
  const Checkpoint& checkpoint_;
};

/// The family's own rule of initialisation. Every element depends on (seed, tensor name, index)
/// alone: not on threads, order or machine.
class RandomWeights final : public Weights {
 public:
  RandomWeights(const Architecture& architecture, std::uint64_t seed,
                Backend& backend = cpu_backend())
      : Weights(architecture.prefixes.front(), backend),
        seed_(seed),
        has_head_(architecture.head.has_value()) {}
  void read(const TensorSpec& spec, std::int64_t block, at::Tensor out) const override;
  void read_rows(const TensorSpec& spec, const at::Tensor& ids, at::Tensor out) const override;
  bool has_head() const override { return has_head_; }

 private:
  void fill(const TensorSpec& spec, std::int64_t block, std::int64_t first, at::Tensor out) const;
  std::uint64_t seed_;
  bool has_head_;
};

/// A linear map ready to apply: y = x weight^T + bias, the spec's parts side by side.
struct Linear {
  at::Tensor weight;  ///< [outputs, inputs]; a transposed view where the checkpoint stores [inputs,
                      ///< outputs]
  at::Tensor bias;    ///< [outputs], or undefined
  /// A part, outputs [first, first + count), that somebody watches.
  struct Watched {
    std::int64_t first, count;
    LayerHook* hook;
  };
  std::vector<Watched> watched{};
  at::Tensor operator()(const at::Tensor& x) const;
};
Linear load_linear(const Weights& weights, const LinearSpec& spec, std::int64_t block,
                   at::ScalarType dtype);

}  // namespace deadray
