#include "verify/executor.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "host/error.h"
#include "host/stopwatch.h"

namespace deadray {

namespace {

std::string size_text(double bytes) {
  return bytes < (1 << 20) ? fmt::format("{:.1f} KiB", bytes / (1 << 10)) : fmt::format("{:.1f} MiB", bytes / (1 << 20));
}

/// Bytes of one block's weights.
double block_bytes(const BlockSpec& block, at::ScalarType dtype) {
  double elements = 0;
  const auto count = [&](const LinearSpec& linear) {
    elements += static_cast<double>(linear.inputs) * static_cast<double>(linear.outputs);
    if (!linear.biases.empty()) elements += static_cast<double>(linear.outputs);
  };
  for (const NormSpec* norm : {&block.attention_norm, &block.mlp_norm})
    elements += static_cast<double>(norm->width) * (norm->has_bias ? 2 : 1);
  for (const LinearSpec* linear : {&block.attention.qkv, &block.attention.out, &block.mlp.in, &block.mlp.out}) count(*linear);
  return elements * static_cast<double>(c10::elementSize(dtype));
}

}  // namespace

Executor::Executor(const Architecture& architecture, const Weights& weights, ExecutorOptions options)
    : architecture_(architecture), weights_(weights), options_(options) {}

void Executor::run(const Calibration& calibration, Observer& observer) {
  const c10::InferenceMode no_derivatives;
  observer_ = &observer;
  load_seconds_ = 0.0;
  notes_.clear();
  ahead_ = {};
  reads_ahead_ = weights_.backend().loads_ahead();
  tile_sequences_ = std::max<std::int64_t>(1, options_.tile_tokens / calibration.ids.size(1));
  if (const auto& rope = architecture_.block.attention.rope) {
    rotary_ = rotary_table(*rope, calibration.ids.size(1), options_.dtype);
    for (at::Tensor* table : {&rotary_->cosine, &rotary_->sine}) *table = table->to(weights_.backend().device());
  }
  embed(calibration.ids);
  report_residual(0);
  run_blocks();
  finish();
  stream_.reset();
}

void Executor::for_each_tile(const Step& step) {
  for (std::int64_t first = 0; first < stream_.size(0);) {
    const std::int64_t count = std::min(tile_sequences_, stream_.size(0) - first);
    const at::Tensor x = stream_.narrow(0, first, count);
    at::Tensor next;
    const bool fitted = fits([&] {
      next = step(x);
      for (const PendingNorm& norm : pending_norms_) observer_->prepare(*norm.site, norm.input, norm.output);
    });
    const auto norms = std::exchange(pending_norms_, {});
    const at::Tensor logits = std::exchange(pending_logits_, {});
    if (!fitted) {
      make_room(count);
      continue;
    }
    // Nothing below wants memory of the device: a tile counts whole or not at all.
    for (const PendingNorm& norm : norms) observer_->norm(*norm.site, norm.input, norm.output);
    if (logits.defined()) observer_->logits(logits);
    if (next.defined()) x.copy_(next);
    first += count;
  }
  weights_.backend().synchronize();  // the memory of the weights may go back to whoever loads
}

void Executor::make_room(std::int64_t sequences) {
  Backend& backend = weights_.backend();
  backend.release_unused();
  const std::int64_t length = stream_.size(1);
  if (ahead_.valid()) {  // first the block that is not needed yet
    ahead_.get();
    reads_ahead_ = false;
    backend.release_unused();
    notes_.push_back(fmt::format("{}: not enough memory beside two blocks of weights: each is loaded when the one before is done",
                                 backend.description()));
    return;
  }
  if (sequences == 1)
    throw ResourceError(
        fmt::format("{}: not enough memory for one sequence of {} tokens: beside it stand a block of weights, {}, and the residual "
                    "stream, {}; {} are free; give shorter sequences with --sequence-length",
                    backend.description(), length, size_text(block_bytes(architecture_.block, options_.dtype)),
                    size_text(static_cast<double>(stream_.nbytes())), size_text(static_cast<double>(backend.free_bytes()))));
  tile_sequences_ = sequences / 2;
  notes_.push_back(fmt::format("{}: not enough memory for tiles of {} tokens: went on with {}", backend.description(), sequences * length,
                               tile_sequences_ * length));
}

at::Tensor Executor::apply_norm(const Norm& norm, const at::Tensor& x) {
  at::Tensor h = norm(x);
  if (observer_->wants(norm.name())) pending_norms_.push_back({&norm.name(), x.reshape({-1, x.size(-1)}), h.reshape({-1, h.size(-1)})});
  return h;
}

void Executor::report_residual(std::int64_t node) { observer_->residual(node, stream_.view({-1, stream_.size(-1)})); }

void Executor::embed(const at::Tensor& ids) {
  const Stopwatch watch;
  const std::int64_t d = architecture_.hidden_size;
  std::optional<Norm> norm;
  weights_.backend().load([&] {
    stream_ = weights_.empty({ids.size(0), ids.size(1), d}, options_.dtype);
    weights_.read_rows(architecture_.token_embedding, ids.view({-1}), stream_.view({-1, d}));
    if (architecture_.type_embedding) stream_ += weights_.load(*architecture_.type_embedding, -1, options_.dtype)[0];
    if (architecture_.position_embedding) {
      at::Tensor positions = weights_.empty({ids.size(1), d}, options_.dtype);
      weights_.read_rows(*architecture_.position_embedding, at::arange(ids.size(1), at::kLong), positions);
      stream_ += positions;
    }
    if (architecture_.embedding_norm) norm.emplace(weights_, *architecture_.embedding_norm, -1, options_.dtype);
  });
  load_seconds_ += watch.seconds();
  if (!norm) return;
  for_each_tile([&](const at::Tensor& x) { return apply_norm(*norm, x); });
  observer_->finished(norm->name());
}

/// Null where the memory of the device does not suffice.
std::unique_ptr<Executor::Block> Executor::try_load(std::int64_t block) const {
  const c10::InferenceMode no_derivatives;  // of this thread
  const BlockSpec& spec = architecture_.block;
  const at::ScalarType dtype = options_.dtype;
  std::unique_ptr<Block> loaded;
  const bool fitted = fits([&] {
    weights_.backend().load([&] {
      loaded.reset(new Block{{weights_, spec.attention_norm, block, dtype},
                             {weights_, spec.mlp_norm, block, dtype},
                             {weights_, spec.attention, block, dtype},
                             {weights_, spec.mlp, block, dtype}});
    });
  });
  return fitted ? std::move(loaded) : nullptr;
}

std::unique_ptr<Executor::Block> Executor::load_block(std::int64_t block) const {
  Backend& backend = weights_.backend();
  if (auto loaded = try_load(block)) return loaded;
  backend.release_unused();
  if (auto loaded = try_load(block)) return loaded;
  throw ResourceError(
      fmt::format("{}: not enough memory for block {} of {}: its weights take {}; {} are free beside the residual stream, {}; "
                  "give fewer tokens, --dtype bfloat16, or --device cpu",
                  backend.description(), block, architecture_.n_blocks, size_text(block_bytes(architecture_.block, options_.dtype)),
                  size_text(static_cast<double>(backend.free_bytes())), size_text(static_cast<double>(stream_.nbytes()))));
}

at::Tensor Executor::run_tile(const Block& block, const at::Tensor& x) {
  switch (architecture_.block.wiring) {
    case Wiring::pre: {
      const at::Tensor between = x + block.attention(apply_norm(block.attention_norm, x), rotary_);
      return between + block.mlp(apply_norm(block.mlp_norm, between));
    }
    case Wiring::post: {
      const at::Tensor between = apply_norm(block.attention_norm, x + block.attention(x, rotary_));
      return apply_norm(block.mlp_norm, between + block.mlp(between));
    }
  }
  return {};
}

void Executor::run_blocks() {
  const std::int64_t n_blocks = architecture_.n_blocks;
  for (std::int64_t index = 0; index < n_blocks; ++index) {
    const Stopwatch watch;
    std::unique_ptr<Block> block;
    if (ahead_.valid()) {
      block = ahead_.get();
      reads_ahead_ = block != nullptr;
    }
    if (!block) block = load_block(index);  // without read-ahead, or where two blocks do not fit
    load_seconds_ += watch.seconds();
    if (reads_ahead_ && index + 1 < n_blocks) ahead_ = std::async(std::launch::async, [this, index] { return try_load(index + 1); });
    for_each_tile([&](const at::Tensor& x) { return run_tile(*block, x); });
    observer_->finished(block->attention_norm.name());
    observer_->finished(block->mlp_norm.name());
    block.reset();
    report_residual(index + 1);
    observer_->progress(index + 1, n_blocks);
  }
}

void Executor::finish() {
  const Stopwatch watch;
  const auto& head = architecture_.head;
  std::optional<Norm> final_norm, head_norm;
  std::optional<Linear> dense;
  Linear decoder;
  const bool has_head = weights_.has_head(), logits = options_.logits && has_head;
  weights_.backend().load([&] {
    if (architecture_.final_norm) final_norm.emplace(weights_, *architecture_.final_norm, -1, options_.dtype);
    if (has_head && head->transform) {
      dense = load_linear(weights_, head->transform->dense, -1, options_.dtype);
      head_norm.emplace(weights_, head->transform->norm, -1, options_.dtype);
    }
    if (logits) {
      LinearSpec spec = head->decoder;
      if (head->tied) spec.weights[0] = architecture_.token_embedding;
      decoder = load_linear(weights_, spec, -1, options_.dtype);
    }
  });
  load_seconds_ += watch.seconds();
  for_each_tile([&](const at::Tensor& x) {
    at::Tensor h = final_norm ? apply_norm(*final_norm, x) : x;
    if (head_norm && (logits || observer_->wants(head_norm->name())))
      h = apply_norm(*head_norm, activate(head->transform->activation, (*dense)(h)));
    if (logits) pending_logits_ = decoder(h).reshape({-1, decoder.weight.size(0)});
    return at::Tensor();
  });
  if (final_norm) observer_->finished(final_norm->name());
  if (head_norm) observer_->finished(head_norm->name());
}

}  // namespace deadray
