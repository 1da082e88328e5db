#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "host/formats/checkpoint.h"
#include "verify/weights/weights.h"

namespace deadray {

/// The weights that a checkpoint holds.
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
  void read_fp8(const Place& place, at::Tensor out) const;
  Place look_up(const TensorSpec& spec, std::int64_t block) const;
  Place find(const TensorSpec& spec, std::int64_t block) const;  // throws as read() does

  const Architecture& architecture_;
  const Checkpoint& checkpoint_;
};

}  // namespace deadray
