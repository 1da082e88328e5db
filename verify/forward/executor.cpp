#include "verify/forward/executor.h"

#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "host/base/error.h"
#include "host/base/stopwatch.h"
#include "verify/device/found_memory.h"
#include "verify/device/memory.h"
#include "verify/forward/token_places.h"
#include "verify/layers/output_stage.h"

namespace deadray {

namespace {

/// Bytes of one block's matrices.
double block_bytes(const BlockSpec& block, at::ScalarType dtype) {
  double elements = 0;
  for_each_linear(block, [&](const LinearSpec& linear, std::int64_t copies) {
    const auto outputs = static_cast<double>(linear.outputs * copies);
    elements += outputs * static_cast<double>(linear.inputs + (linear.biases.empty() ? 0 : 1));
  });
  return elements * static_cast<double>(c10::elementSize(dtype));
}

}  // namespace

std::int64_t tokens_of_tile(const Stack& stack, const ExecutorOptions& options) {
  constexpr std::int64_t kMost = 8;
  std::int64_t spread = 1;
  for (const BlockSpec& kind : stack.block_kinds)
    if (const auto& routing = kind.mlp.routing)
      spread = std::max(spread, std::min(kMost, routing->n_experts / routing->per_token));
  return options.tile_tokens * spread;
}

Executor::Executor(const Architecture& architecture, const Weights& weights,
                   ExecutorOptions options)
    : architecture_(architecture), weights_(weights), options_(options) {}

void Executor::run(const Calibration& calibration, Observer& observer, const Start& start) {
  const c10::InferenceMode no_derivatives(!carries_derivatives());
  const c10::NoGradGuard no_gradients;
  observer_ = &observer;
  const double waited = weights_.waited();
  load_seconds_ = 0.0;
  notes_.clear();
  ahead_ = {};
  reads_ahead_ = weights_.backend().loads_ahead();
  tile_sequences_ = std::max<std::int64_t>(1, tokens_of_tile(architecture_, options_) /
                                                  (1 + options_.directions) / calibration.length());
  const at::Tensor positions = token_coordinates(architecture_, calibration.length());
  stack_ = &architecture_;
  set_places(positions, picture_groups(architecture_, calibration));
  if (start.stream.defined())
    stream_ = start.stream.clone().view({calibration.sequences(), calibration.length(), -1});
  else
    embed(calibration);
  report_residual(start.block);
  run_blocks(start.block);
  finish();
  if (predictor_is_wanted()) run_predictor(positions);
  load_seconds_ += weights_.waited() - waited;
  stream_.reset(), tangents_.reset();
}

void Executor::set_places(const at::Tensor& coordinates, const at::Tensor& groups) {
  places_.clear();
  for (const BlockSpec& kind : stack_->block_kinds)
    places_.push_back(places_of(kind.attention, coordinates, options_.dtype,
                                weights_.backend().device(), groups));
}

void Executor::for_each_tile(const Step& step) {
  for (std::int64_t first = 0; first < stream_.size(0);) {
    const std::int64_t count = std::min(tile_sequences_, stream_.size(0) - first);
    const at::Tensor x = stream_.narrow(0, first, count);
    Dual next;
    if (!pass([&] { next = carry(step, x, first); })) {
      make_room(count);
      continue;
    }
    keep(next, first);
    first += count;
  }
  weights_.backend().synchronize();  // the memory of the weights may go back to whoever loads
}

/// The step, with the derivatives of its tile.
Dual Executor::carry(const Step& step, const at::Tensor& x, std::int64_t first) {
  if (!carries_derivatives()) return {step(x, first), {}};
  const Dual tile{x, tangents_.defined() ? tangents_.narrow(1, first, x.size(0)) : at::Tensor()};
  const ForwardMode mode(options_.directions);
  return mode.lower(step(mode.lift(tile), first));
}

void Executor::keep(const Dual& tile, std::int64_t first) {
  if (!tile.value.defined()) return;
  stream_.narrow(0, first, tile.value.size(0)).copy_(tile.value);
  if (!tile.tangents.defined()) return;
  if (!tangents_.defined()) {
    std::vector<std::int64_t> shape = stream_.sizes().vec();
    shape.insert(shape.begin(), options_.directions);
    tangents_ = at::zeros(shape, stream_.options());
  }
  tangents_.narrow(1, first, tile.value.size(0)).copy_(tile.tangents);
}

/// What x [sequences, ..., width] stands for, as rows: [n, width] and [K, n, width].
Dual Executor::rows(const at::Tensor& x) const {
  const Dual dual = carries_derivatives() ? ForwardMode::current()->lower(x) : Dual{x, {}};
  const ForwardMode::Pause plain;
  return {dual.value.flatten(0, -2),
          dual.tangents.defined() ? dual.tangents.flatten(1, -2) : at::Tensor()};
}

/// Runs a step and shows the observer what its norms and its head made. @return false when the
/// device's memory did not suffice
bool Executor::pass(const std::function<void()>& step) {
  const bool fitted = found_memory([&] {
    step();
    for (const PendingNorm& norm : pending_norms_)
      observer_->prepare(*norm.site, norm.input, norm.output);
  });
  const auto norms = std::exchange(pending_norms_, {});
  const at::Tensor logits = std::exchange(pending_logits_, {});
  const Dual output = std::exchange(pending_output_, {});
  if (!fitted) return false;
  // Nothing below wants memory of the device: a tile counts whole or not at all.
  for (const PendingNorm& norm : norms) observer_->norm(*norm.site, norm.input, norm.output);
  if (output.value.defined()) observer_->head_input(output);
  if (logits.defined()) observer_->logits(logits);
  return true;
}

void Executor::make_room(std::int64_t sequences) {
  Backend& backend = weights_.backend();
  backend.release_unused();
  const std::int64_t length = stream_.size(1);
  if (ahead_.valid()) {  // first the block that is not needed yet
    ahead_.get();
    reads_ahead_ = false;
    backend.release_unused();
    notes_.push_back(
        fmt::format("{}: not enough memory beside two blocks of weights: each is loaded when the "
                    "one before is done",
                    backend.description()));
    return;
  }
  if (sequences == 1)
    throw ResourceError(fmt::format(
        "{}: not enough memory for one sequence of {} tokens: beside it stand a block of weights, "
        "{}, and the residual "
        "stream, {}; {} are free; give {}",
        backend.description(), length, size_text(block_bytes(stack_->block(0), options_.dtype)),
        size_text(static_cast<double>(stream_.nbytes())),
        size_text(static_cast<double>(backend.free_bytes())),
        architecture_.patches ? "smaller pictures in a file with --tokens"
                              : "shorter sequences with --sequence-length"));
  tile_sequences_ = sequences / 2;
  notes_.push_back(fmt::format("{}: not enough memory for tiles of {} tokens: went on with {}",
                               backend.description(), sequences * length,
                               tile_sequences_ * length));
}

at::Tensor Executor::apply_norm(const Norm& norm, const at::Tensor& x) {
  at::Tensor h = norm(x);
  const std::vector<std::string>& sites = norm.sites();
  for (std::size_t i = 0; i < sites.size(); ++i) {
    if (!observer_->wants(sites[i])) continue;
    const auto of_site = [&](const at::Tensor& all) {
      return rows(sites.size() == 1 ? all : all.select(1, static_cast<std::int64_t>(i))).value;
    };
    pending_norms_.push_back({&sites[i], of_site(x), of_site(h)});
  }
  return h;
}

void Executor::report_residual(std::int64_t node) {
  observer_->residual(node, stream_.view({-1, stream_.size(-1)}));
}

void Executor::apply_norm_to_stream(const std::optional<NormSpec>& spec) {
  if (!spec) return;
  std::optional<Norm> norm;
  const Stopwatch watch;
  weights_.backend().load([&] { norm.emplace(weights_, *spec, -1, options_.dtype); });
  load_seconds_ += watch.seconds();
  for_each_tile([&](const at::Tensor& x, std::int64_t) { return apply_norm(*norm, x); });
  observer_->finished(norm->name());
}

/// Null where the memory of the device does not suffice.
std::unique_ptr<Block> Executor::try_load(const Stack& stack, std::int64_t block) const {
  const c10::InferenceMode no_derivatives(!carries_derivatives());  // of this thread
  std::unique_ptr<Block> loaded;
  const bool fitted = found_memory([&] {
    weights_.backend().load([&] {
      loaded = std::make_unique<Block>(weights_, stack.block(block), block, options_.dtype);
    });
  });
  return fitted ? std::move(loaded) : nullptr;
}

std::unique_ptr<Block> Executor::load_block(const Stack& stack, std::int64_t block) const {
  Backend& backend = weights_.backend();
  if (auto loaded = try_load(stack, block)) return loaded;
  backend.release_unused();
  if (auto loaded = try_load(stack, block)) return loaded;
  throw ResourceError(
      fmt::format("{}: not enough memory for block {} of {}: its weights take {}; {} are free "
                  "beside the residual stream, {}; "
                  "give fewer tokens, --dtype bfloat16, or --device cpu",
                  backend.description(), block, stack.n_blocks,
                  size_text(block_bytes(stack.block(block), options_.dtype)),
                  size_text(static_cast<double>(backend.free_bytes())),
                  size_text(static_cast<double>(stream_.nbytes()))));
}

void Executor::run_blocks(std::int64_t first) {
  const std::int64_t n_blocks = stack_->n_blocks;
  const NormCall call = [this](const Norm& norm, const at::Tensor& x) {
    return apply_norm(norm, x);
  };
  for (std::int64_t index = first; index < n_blocks; ++index) {
    const Stopwatch watch;
    std::unique_ptr<Block> block;
    if (ahead_.valid()) {
      block = ahead_.get();
      reads_ahead_ = block != nullptr;
    }
    if (!block)
      block = load_block(*stack_, index);  // without read-ahead, or where two blocks do not fit
    load_seconds_ += watch.seconds();
    if (index + 1 < n_blocks) weights_.will_need(stack_->block(index + 1), index + 1);
    if (reads_ahead_ && index + 1 < n_blocks)
      ahead_ =
          std::async(std::launch::async, [this, index] { return try_load(*stack_, index + 1); });
    const Places& places = places_[stack_->kind(index)];
    for_each_tile([&](const at::Tensor& x, std::int64_t sequence) {
      return (*block)(x, places.narrow(sequence, x.size(0)), call);
    });
    const std::vector<std::string> norms = block->norms();
    block.reset();  // the spectra that follow want its memory
    // Experts are tensors of a few megabytes, freed among activations: the holes that they leave
    // grew to 12 GiB after 40 blocks of Qwen3-30B-A3B.
    if (stack_->block(index).mlp.routing) weights_.backend().trim_heap();
    for (const std::string& norm : norms) observer_->finished(norm);
    if (stack_ == &architecture_) report_residual(index + 1);
    observer_->progress(index + 1, n_blocks);
  }
}

void Executor::finish() {
  const Stopwatch watch;
  const auto& head = architecture_.head;
  const bool has_head = weights_.has_head(), logits = options_.logits && has_head,
             to_head = logits || observer_->wants_head_input();
  std::optional<OutputStage> stage;
  Linear decoder;
  weights_.backend().load([&] {
    stage.emplace(architecture_, weights_, options_.dtype);
    if (logits) decoder = load_linear(weights_, stored_decoder(architecture_), -1, options_.dtype);
  });
  load_seconds_ += watch.seconds();
  const NormCall call = [this](const Norm& norm, const at::Tensor& x) {
    return apply_norm(norm, x);
  };
  const bool past_final_norm =
      to_head || (stage->head_norm() && observer_->wants(stage->head_norm()->name()));
  for_each_tile([&](const at::Tensor& x, std::int64_t) {
    at::Tensor h = stage->final_norm(x, call);
    if (past_final_norm) h = stage->to_head(h, call);
    if (to_head) pending_output_ = rows(h);
    if (!logits) return at::Tensor();
    h = decoder(h);
    if (head->scale != 1.0) h = h * head->scale;
    pending_logits_ = soft_cap(h, head->soft_cap).reshape({-1, decoder.weight.size(0)});
    return at::Tensor();
  });
  for (const std::string& norm : stage->norms()) observer_->finished(norm);
}

}  // namespace deadray
