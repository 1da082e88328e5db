#include "verify/forward/executor.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "host/base/error.h"
#include "verify/base/vector_math.h"
#include "verify/device/memory.h"
#include "verify/forward/block_loader.h"
#include "verify/forward/inputs.h"
#include "verify/forward/observer_queue.h"
#include "verify/forward/tile_loop.h"
#include "verify/forward/token_places.h"
#include "verify/layers/activation.h"
#include "verify/layers/output_stage.h"
#include "verify/layers/patches.h"
#include "verify/layers/vision_tower.h"

namespace deadray {

namespace {

/// One run: embedding, blocks, final norm and head, predictor.
class ForwardPass {
 public:
  ForwardPass(const Architecture& architecture, const Weights& weights,
              const ExecutorOptions& options, const Calibration& calibration, Observer& observer)
      : architecture_(architecture),
        weights_(weights),
        options_(options),
        calibration_(calibration),
        observer_(observer),
        queue_(observer),
        loader_(weights, options.dtype, options.directions > 0),
        tiles_(weights.backend(), queue_, loader_, options.directions,
               architecture.patches ? "give smaller pictures in a file with --tokens"
                                    : "give shorter sequences with --sequence-length") {}

  void run(const Start& start) {
    const TokenPlaces places = token_places(architecture_, calibration_);
    if (start.stream.defined())
      begin({start.stream.clone().view({calibration_.sequences(), calibration_.length(), -1}), {}});
    else
      embed();
    observer_.residual(start.block, tiles_.rows());
    run_blocks(architecture_, places, start.block);
    run_head();
    if (predictor_is_wanted()) run_predictor(places.coordinates);
  }
  double load_seconds() const { return loader_.seconds(); }
  const std::vector<std::string>& notes() const { return tiles_.notes(); }

 private:
  void begin(Dual stream);
  Dual embedded() const;
  void embed();
  void place_pictures();
  void normalise(const std::optional<NormSpec>& spec);
  void run_blocks(const Stack& stack, const TokenPlaces& tokens, std::int64_t first);
  void run_head();
  bool predictor_is_wanted() const;
  void run_predictor(const at::Tensor& coordinates);

  const Architecture& architecture_;
  const Weights& weights_;
  const ExecutorOptions& options_;
  const Calibration& calibration_;
  Observer& observer_;
  ObserverQueue queue_;
  BlockLoader loader_;
  TileLoop tiles_;
};

void ForwardPass::begin(Dual stream) {
  const std::int64_t tokens = tokens_of_tile(architecture_, options_) / (1 + options_.directions);
  tiles_.begin(std::move(stream), tokens / calibration_.length(),
               block_bytes(architecture_.block(0), options_.dtype), calibration_.counted());
}

/// The calibration as a stream, with its derivatives where the embedding may move.
Dual ForwardPass::embedded() const {
  const auto embed_all = [&] {
    return architecture_.patches
               ? embed_patches(weights_, *architecture_.patches, calibration_, options_.dtype)
               : embed_tokens(weights_, architecture_, calibration_, options_.dtype);
  };
  if (options_.directions == 0 || weights_.tangents().empty()) return {embed_all(), {}};
  const ForwardMode mode(options_.directions);
  return mode.lower(embed_all());
}

void ForwardPass::embed() {
  Dual stream;
  loader_.load([&] { stream = embedded(); });
  begin(std::move(stream));
  if (!calibration_.pictures.empty()) place_pictures();
  normalise(architecture_.input_norm);
}

/// Overwrites the rows of picture tokens with what the tower makes of the pictures.
void ForwardPass::place_pictures() {
  const VisionTower& tower = *architecture_.vision;
  Backend& backend = weights_.backend();
  TowerRun run;
  run.load_block = [&](std::int64_t index) {
    observer_.progress(0, architecture_.n_blocks);
    return loader_.load(tower.blocks, index, tiles_.stream());
  };
  run.norm = queue_.norm_call();
  run.step = [&](const std::function<void()>& step) {
    if (queue_.run(step)) return;
    backend.release_unused();
    if (!queue_.run(step))
      throw ResourceError(
          fmt::format("{}: not enough memory for one picture in the vision tower; {} are free; "
                      "give fewer or smaller pictures, or --device cpu",
                      backend.description(), size_text(static_cast<double>(backend.free_bytes()))));
  };
  run.finished = [this](const std::string& norm) { observer_.finished(norm); };
  const at::Tensor rows =
      embed_pictures(tower, weights_, calibration_.pictures, options_.dtype, run);
  const at::Tensor places = at::nonzero(calibration_.ids.view({-1}).eq(tower.token)).squeeze(1);
  tiles_.replace_rows(places.to(rows.device()), rows);
}

/// Replaces the stream by a norm of it, where there is one.
void ForwardPass::normalise(const std::optional<NormSpec>& spec) {
  if (!spec) return;
  std::optional<Norm> norm;
  loader_.load([&] { norm.emplace(weights_, *spec, -1, options_.dtype); });
  const NormCall call = queue_.norm_call();
  tiles_.for_each_tile([&](const at::Tensor& x, std::int64_t) { return call(*norm, x); });
  observer_.finished(norm->name());
}

void ForwardPass::run_blocks(const Stack& stack, const TokenPlaces& tokens, std::int64_t first) {
  std::vector<AttentionPlaces> places;
  for (const BlockSpec& kind : stack.block_kinds)
    places.emplace_back(kind.attention, tokens, options_.dtype, weights_.backend().device());
  const NormCall call = queue_.norm_call();
  for (std::int64_t index = first; index < stack.n_blocks; ++index) {
    std::unique_ptr<Block> block = loader_.next(stack, index, tiles_.stream());
    const AttentionPlaces& of_kind = places[stack.kind(index)];
    tiles_.for_each_tile([&](const at::Tensor& x, std::int64_t sequence) {
      return (*block)(x, of_kind.tile(sequence, x.size(0)), call);
    });
    const std::vector<std::string> norms = block->norms();
    block.reset();  // the spectra that follow want its memory
    if (stack.block(index).mlp.routing) weights_.backend().trim_heap();
    for (const std::string& norm : norms) observer_.finished(norm);
    if (&stack == &architecture_) observer_.residual(index + 1, tiles_.rows());
    observer_.progress(index + 1, stack.n_blocks);
  }
}

/// The final norm, and as much of the head as somebody wants to see.
void ForwardPass::run_head() {
  const auto& head = architecture_.head;
  const bool logits = options_.logits && weights_.has_head();
  std::optional<OutputStage> stage;
  Linear decoder;
  loader_.load([&] {
    stage.emplace(architecture_, weights_, options_.dtype);
    if (logits) decoder = load_linear(weights_, stored_decoder(architecture_), -1, options_.dtype);
  });
  const bool shows_input = observer_.wants_head_input();
  const bool to_head =
      logits || shows_input || (stage->head_norm() && observer_.wants(stage->head_norm()->name()));
  const NormCall call = queue_.norm_call();
  tiles_.for_each_tile([&](const at::Tensor& x, std::int64_t) {
    at::Tensor h = stage->final_norm(x, call);
    if (to_head) h = stage->to_head(h, call);
    if (shows_input) queue_.head_input(h);
    if (logits) {
      at::Tensor z = decoder(h);
      if (head->scale != 1.0) z = z * head->scale;
      queue_.logits(soft_cap(z, head->soft_cap).reshape({-1, decoder.weight.value.size(0)}));
    }
    return at::Tensor();
  });
  for (const std::string& norm : stage->norms()) observer_.finished(norm);
}

bool ForwardPass::predictor_is_wanted() const {
  if (!architecture_.predictor) return false;
  const Stack& stack = architecture_.predictor->stack;
  bool wanted = observer_.wants(weights_.name(stack.final_norm->name));
  for (std::int64_t block = 0; block < stack.n_blocks; ++block)
    for_each_norm(stack.block(block), [&](const NormSpec& norm) {
      wanted = wanted || observer_.wants(weights_.name(norm.name, block));
    });
  return wanted;
}

void ForwardPass::run_predictor(const at::Tensor& coordinates) {
  const Stack& stack = architecture_.predictor->stack;
  at::Tensor stream;
  // Mostly computation, so its time does not count as loading.
  weights_.backend().load([&] {
    stream = embed_for_predictor(weights_, architecture_, tiles_.stream(), options_.dtype);
  });
  tiles_.begin({std::move(stream), {}}, tiles_.tile_sequences() / 2,  // sequences are twice as long
               block_bytes(stack.block(0), options_.dtype));
  run_blocks(stack, {at::cat({coordinates, coordinates}, 1)}, 0);
  normalise(stack.final_norm);
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
    : architecture_(architecture), weights_(weights), options_(options) {
  settle_vector_math();
}

void Executor::run(const Calibration& calibration, Observer& observer, const Start& start) {
  if (const auto moving = weights_.tangents().size();
      options_.directions > 0 && moving > 0 &&
      static_cast<std::int64_t>(moving) != options_.directions)
    throw InternalError(fmt::format("a pass of {} directions, but its weights move along {}",
                                    options_.directions, moving));
  const c10::InferenceMode no_derivatives(options_.directions == 0);
  const c10::NoGradGuard no_gradients;
  ForwardPass pass(architecture_, weights_, options_, calibration, observer);
  const auto keep_account = [&] {
    load_seconds_ = pass.load_seconds();
    notes_ = pass.notes();
  };
  try {
    pass.run(start);
  } catch (...) {  // an observer that stops the run still wants to know
    keep_account();
    throw;
  }
  keep_account();
}

}  // namespace deadray
