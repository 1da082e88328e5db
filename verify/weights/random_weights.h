#pragma once

#include <cstdint>

#include "verify/weights/weights.h"

namespace deadray {

/// Weights drawn by the family's own rule of initialisation. Every element depends on seed, tensor
/// name and index alone: not on threads, order or machine.
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

}  // namespace deadray
