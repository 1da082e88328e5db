#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <future>
#include <memory>

#include "host/architecture/architecture.h"
#include "verify/layers/block.h"
#include "verify/weights/weights.h"

namespace deadray {

/// Bytes of one block's matrices and biases.
double block_bytes(const BlockSpec& block, at::ScalarType dtype);

/// Loads the blocks of a stack one after the other. Where the backend asks for it, a second thread
/// reads the next block while this one computes, until memory is too short for two.
class BlockLoader {
 public:
  /// @param derivatives  whether the pass carries some
  BlockLoader(const Weights& weights, at::ScalarType dtype, bool derivatives);

  /// Loads a block. Where memory does not suffice, it tries once more after the backend has given
  /// back what it keeps.
  /// @param stream  what stands beside the block in memory, for the message
  /// @throws ResourceError with the sizes when the block does not fit
  std::unique_ptr<Block> load(const Stack& stack, std::int64_t index, const at::Tensor& stream);
  /// The block that was read ahead; where there is none, load(). Begins to read the one after it.
  std::unique_ptr<Block> next(const Stack& stack, std::int64_t index, const at::Tensor& stream);
  /// Frees the block that is read ahead; none will be any more. @return whether there was one
  bool give_up_ahead();

  /// Loads weights outside the blocks.
  void load(const std::function<void()>& work);
  /// Seconds that the pass has waited for weights.
  double seconds() const { return seconds_ + weights_.waited() - waited_before_; }

 private:
  std::unique_ptr<Block> try_load(const Stack& stack, std::int64_t index) const;

  const Weights& weights_;
  at::ScalarType dtype_;
  bool derivatives_;
  bool reads_ahead_;
  double seconds_ = 0.0;
  double waited_before_;
  // Loaded by the second thread; null where memory did not suffice. The last member, so that the
  // thread ends before what it uses.
  std::future<std::unique_ptr<Block>> ahead_;
};

}  // namespace deadray
