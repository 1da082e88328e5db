#include "verify/executor.h"

#include <algorithm>

#include "host/stopwatch.h"

namespace deadray {

Executor::Executor(const Architecture& architecture, const Weights& weights, ExecutorOptions options)
    : architecture_(architecture), weights_(weights), options_(options) {}

void Executor::run(const Calibration& calibration, Observer& observer) {
  const c10::InferenceMode no_derivatives;
  observer_ = &observer;
  load_seconds_ = 0.0;
  const std::int64_t n_blocks = architecture_.n_blocks;
  if (const auto& rope = architecture_.block.attention.rope) rotary_ = rotary_table(*rope, calibration.ids.size(1), options_.dtype);
  embed(calibration.ids);
  report_residual(0);
  for (std::int64_t block = 0; block < n_blocks; ++block) {
    run_block(block);
    report_residual(block + 1);
    observer.progress(block + 1, n_blocks);
  }
  finish();
  stream_.reset();
}

void Executor::for_each_tile(const Tile& body) {
  const std::int64_t sequences = stream_.size(0), step = std::max<std::int64_t>(1, options_.tile_tokens / stream_.size(1));
  for (std::int64_t first = 0; first < sequences; first += step) body(stream_.narrow(0, first, std::min(step, sequences - first)));
}

at::Tensor Executor::apply_norm(const Norm& norm, const at::Tensor& x) {
  at::Tensor h = norm(x);
  if (observer_->wants(norm.name())) observer_->norm(norm.name(), x.reshape({-1, x.size(-1)}), h.reshape({-1, h.size(-1)}));
  return h;
}

void Executor::report_residual(std::int64_t node) { observer_->residual(node, stream_.view({-1, stream_.size(-1)})); }

void Executor::embed(const at::Tensor& ids) {
  const Stopwatch watch;
  const std::int64_t d = architecture_.hidden_size;
  stream_ = at::empty({ids.size(0), ids.size(1), d}, options_.dtype);
  weights_.read_rows(architecture_.token_embedding, ids.view({-1}), stream_.view({-1, d}));
  if (architecture_.type_embedding) stream_ += weights_.load(*architecture_.type_embedding, -1, options_.dtype)[0];
  if (architecture_.position_embedding) {
    at::Tensor positions = at::empty({ids.size(1), d}, options_.dtype);
    weights_.read_rows(*architecture_.position_embedding, at::arange(ids.size(1), at::kLong), positions);
    stream_ += positions;
  }
  load_seconds_ += watch.seconds();
  if (!architecture_.embedding_norm) return;
  const Norm norm(weights_, *architecture_.embedding_norm, -1, options_.dtype);
  for_each_tile([&](at::Tensor x) { x.copy_(apply_norm(norm, x)); });
  observer_->finished(norm.name());
}

void Executor::run_block(std::int64_t block) {
  const Stopwatch watch;
  const BlockSpec& spec = architecture_.block;
  const Norm attention_norm(weights_, spec.attention_norm, block, options_.dtype), mlp_norm(weights_, spec.mlp_norm, block, options_.dtype);
  const Attention attention(weights_, spec.attention, block, options_.dtype);
  const Mlp mlp(weights_, spec.mlp, block, options_.dtype);
  load_seconds_ += watch.seconds();
  for_each_tile([&](at::Tensor x) {
    switch (spec.wiring) {
      case Wiring::pre:
        x += attention(apply_norm(attention_norm, x), rotary_);
        x += mlp(apply_norm(mlp_norm, x));
        break;
      case Wiring::post:
        x.copy_(apply_norm(attention_norm, x + attention(x, rotary_)));
        x.copy_(apply_norm(mlp_norm, x + mlp(x)));
        break;
    }
  });
  observer_->finished(attention_norm.name());
  observer_->finished(mlp_norm.name());
}

void Executor::finish() {
  const Stopwatch watch;
  const auto& head = architecture_.head;
  std::optional<Norm> final_norm, head_norm;
  std::optional<Linear> dense;
  Linear decoder;
  if (architecture_.final_norm) final_norm.emplace(weights_, *architecture_.final_norm, -1, options_.dtype);
  const bool has_head = weights_.has_head();
  if (has_head && head->transform) {
    dense = load_linear(weights_, head->transform->dense, -1, options_.dtype);
    head_norm.emplace(weights_, head->transform->norm, -1, options_.dtype);
  }
  const bool logits = options_.logits && has_head;
  if (logits) {
    LinearSpec spec = head->decoder;
    if (head->tied) spec.weights[0] = architecture_.token_embedding;
    decoder = load_linear(weights_, spec, -1, options_.dtype);
  }
  load_seconds_ += watch.seconds();
  for_each_tile([&](at::Tensor x) {
    at::Tensor h = final_norm ? apply_norm(*final_norm, x) : x;
    if (head_norm && (logits || observer_->wants(head_norm->name())))
      h = apply_norm(*head_norm, activate(head->transform->activation, (*dense)(h)));
    if (logits) observer_->logits(decoder(h).reshape({-1, decoder.weight.size(0)}));
  });
  if (final_norm) observer_->finished(final_norm->name());
  if (head_norm) observer_->finished(head_norm->name());
}

}  // namespace deadray
