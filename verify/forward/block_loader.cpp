#include "verify/forward/block_loader.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <utility>

#include "host/base/error.h"
#include "host/base/stopwatch.h"
#include "verify/device/backend.h"
#include "verify/device/found_memory.h"
#include "verify/device/memory.h"

namespace deadray {

double block_bytes(const BlockSpec& block, at::ScalarType dtype) {
  double elements = 0;
  for_each_linear(block, [&](const LinearSpec& linear, std::int64_t copies) {
    const auto outputs = static_cast<double>(linear.outputs * copies);
    elements += outputs * static_cast<double>(linear.inputs + (linear.biases.empty() ? 0 : 1));
  });
  return elements * static_cast<double>(c10::elementSize(dtype));
}

BlockLoader::BlockLoader(const Weights& weights, at::ScalarType dtype, bool derivatives)
    : weights_(weights),
      dtype_(dtype),
      derivatives_(derivatives),
      reads_ahead_(weights.backend().loads_ahead()),
      waited_before_(weights.waited()) {}

std::unique_ptr<Block> BlockLoader::load(const Stack& stack, std::int64_t index,
                                         const at::Tensor& stream) {
  const Stopwatch watch;
  Backend& backend = weights_.backend();
  std::unique_ptr<Block> block = try_load(stack, index);
  if (!block) {
    backend.release_unused();
    block = try_load(stack, index);
  }
  if (!block)
    throw ResourceError(
        fmt::format("{}: not enough memory for block {} of {}: its weights take {}; {} are free "
                    "beside the residual stream, {}; give fewer tokens, --dtype bfloat16, or "
                    "--device cpu",
                    backend.description(), index, stack.n_blocks,
                    size_text(block_bytes(stack.block(index), dtype_)),
                    size_text(static_cast<double>(backend.free_bytes())),
                    size_text(static_cast<double>(stream.nbytes()))));
  seconds_ += watch.seconds();
  return block;
}

std::unique_ptr<Block> BlockLoader::next(const Stack& stack, std::int64_t index,
                                         const at::Tensor& stream) {
  std::unique_ptr<Block> block;
  if (ahead_.valid()) {
    const Stopwatch watch;
    block = ahead_.get();
    reads_ahead_ = block != nullptr;
    seconds_ += watch.seconds();
  }
  if (!block) block = load(stack, index, stream);
  const std::int64_t following = index + 1;
  if (following == stack.n_blocks) return block;
  weights_.will_need(stack.block(following), following);
  if (reads_ahead_)
    ahead_ = std::async(std::launch::async,
                        [this, &stack, following] { return try_load(stack, following); });
  return block;
}

bool BlockLoader::give_up_ahead() {
  if (!ahead_.valid()) return false;
  ahead_.get();
  reads_ahead_ = false;
  return true;
}

void BlockLoader::load(const std::function<void()>& work) {
  const Stopwatch watch;
  weights_.backend().load(work);
  seconds_ += watch.seconds();
}

/// Null where the device's memory does not suffice.
std::unique_ptr<Block> BlockLoader::try_load(const Stack& stack, std::int64_t index) const {
  const c10::InferenceMode no_derivatives(!derivatives_);  // the mode is a thread's own
  std::unique_ptr<Block> block;
  const bool fitted = found_memory([&] {
    weights_.backend().load(
        [&] { block = std::make_unique<Block>(weights_, stack.block(index), index, dtype_); });
  });
  return fitted ? std::move(block) : nullptr;
}

}  // namespace deadray
