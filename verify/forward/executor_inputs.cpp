#include <fmt/format.h>

#include "host/base/error.h"
#include "host/base/stopwatch.h"
#include "verify/device/memory.h"
#include "verify/forward/executor.h"
#include "verify/layers/patches.h"
#include "verify/layers/vision_tower.h"

// What enters a stack of blocks: embedded tokens, patches, pictures between tokens, and for
// V-JEPA's predictor what the encoder left.
namespace deadray {

void Executor::embed(const Calibration& calibration) {
  const Stopwatch watch;
  if (architecture_.patches)
    weights_.backend().load([&] {
      stream_ = embed_patches(weights_, *architecture_.patches, calibration, options_.dtype);
    });
  else
    embed_tokens(calibration.ids);
  load_seconds_ += watch.seconds();
  if (!calibration.pictures.empty()) place_pictures(calibration);
  apply_norm_to_stream(architecture_.input_norm);
}

void Executor::embed_tokens(const at::Tensor& ids) {
  const TokenInput& input = *architecture_.tokens;
  const auto rows_of = [&](const TensorSpec& table, const at::Tensor& index) {
    at::Tensor rows = weights_.empty({index.numel(), table.shape[1]}, options_.dtype);
    weights_.read_rows(table, index, rows);
    return rows;
  };
  weights_.backend().load([&] {
    at::Tensor x = rows_of(input.table, ids.view({-1}));
    if (input.scale != 1.0) x *= at::scalar_tensor(input.scale, x.options());
    if (input.projection) x = load_linear(weights_, *input.projection, -1, options_.dtype)(x);
    stream_ = x.view({ids.size(0), ids.size(1), architecture_.hidden_size});
    if (input.types) stream_ += weights_.load(*input.types, -1, options_.dtype)[0];
    if (input.positions)
      stream_ += rows_of(
          *input.positions,
          at::arange(input.position_offset, input.position_offset + ids.size(1), at::kLong));
  });
}

/// Overwrites the rows of picture tokens with what the tower makes of the pictures.
void Executor::place_pictures(const Calibration& calibration) {
  const VisionTower& tower = *architecture_.vision;
  Passage passage;
  passage.load_block = [&](std::int64_t index) {
    observer_->progress(0, architecture_.n_blocks);
    const Stopwatch watch;
    auto block = load_block(tower.blocks, index);
    load_seconds_ += watch.seconds();
    return block;
  };
  passage.norm = [this](const Norm& norm, const at::Tensor& x) { return apply_norm(norm, x); };
  passage.step = [&](const std::function<void()>& step) {
    if (pass(step)) return;
    weights_.backend().release_unused();
    if (!pass(step))
      throw ResourceError(
          fmt::format("{}: not enough memory for one picture in the vision tower; {} are free; "
                      "give fewer or smaller "
                      "pictures, or --device cpu",
                      weights_.backend().description(),
                      size_text(static_cast<double>(weights_.backend().free_bytes()))));
  };
  passage.finished = [this](const std::string& norm) { observer_->finished(norm); };
  const at::Tensor rows =
      embed_pictures(tower, weights_, calibration.pictures, options_.dtype, passage);
  const at::Tensor places = at::nonzero(calibration.ids.view({-1}).eq(tower.token)).squeeze(1);
  stream_.view({-1, architecture_.hidden_size}).index_copy_(0, places.to(rows.device()), rows);
}

bool Executor::predictor_is_wanted() const {
  if (!architecture_.predictor) return false;
  const Stack& stack = architecture_.predictor->stack;
  bool wanted = observer_->wants(weights_.name(stack.final_norm->name));
  for (std::int64_t block = 0; block < stack.n_blocks; ++block)
    for_each_norm(stack.block(block), [&](const NormSpec& norm) {
      wanted = wanted || observer_->wants(weights_.name(norm.name, block));
    });
  return wanted;
}

/// Every token is both context, embedded from the encoder's output, and target, a mask token at the
/// same place.
void Executor::run_predictor(const at::Tensor& coordinates) {
  const Predictor& predictor = *architecture_.predictor;
  weights_.backend().load([&] {
    const Norm norm(weights_, *architecture_.final_norm, -1, options_.dtype);
    const Linear embedding = load_linear(weights_, predictor.embedding, -1, options_.dtype);
    const at::Tensor masks = weights_.load(predictor.mask_tokens, -1, options_.dtype).flatten(0, 2);
    const std::int64_t length = stream_.size(1);
    at::Tensor next =
        weights_.empty({stream_.size(0), 2 * length, predictor.stack.hidden_size}, options_.dtype);
    next.narrow(1, length, length).copy_(masks[1 % masks.size(0)]);
    for (std::int64_t i = 0; i < next.size(0); ++i)
      next[i].narrow(0, 0, length).copy_(embedding(norm(stream_[i])));
    stream_ = next;
  });
  stack_ = &predictor.stack;
  tile_sequences_ = std::max<std::int64_t>(1, tile_sequences_ / 2);
  set_places(at::cat({coordinates, coordinates}));
  run_blocks();
  apply_norm_to_stream(predictor.stack.final_norm);
}

}  // namespace deadray
