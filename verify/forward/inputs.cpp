#include "verify/forward/inputs.h"

#include <ATen/ATen.h>

#include "verify/base/forward_mode.h"
#include "verify/forward/token_places.h"
#include "verify/layers/linear.h"
#include "verify/layers/norm.h"
#include "verify/layers/parameter.h"

namespace deadray {

namespace {

/// Rows `ids` of a table, times `scale`: [ids, width].
Parameter load_rows(const Weights& weights, const TensorSpec& table, const at::Tensor& ids,
                    at::ScalarType dtype, double scale = 1.0) {
  return load_parameter(weights, {&table, 1}, -1, [&](const Weights& source) {
    at::Tensor rows = source.empty({ids.numel(), table.shape[1]}, dtype);
    source.read_rows(table, ids.flatten(), rows);
    if (scale != 1.0) rows *= at::scalar_tensor(scale, rows.options());
    return rows;
  });
}

/// Row of each token's position: [sequences or 1, length], plain whatever lives.
at::Tensor position_rows(const TokenInput& input, const Calibration& calibration) {
  const ForwardMode::Pause plain;
  return text_positions(calibration, input.counting) + input.position_offset;
}

/// The stream with its positions.
at::Tensor with_positions(const Weights& weights, const TokenInput& input,
                          const Calibration& calibration, at::Tensor stream) {
  const at::ScalarType dtype = stream.scalar_type();
  const at::Tensor index = position_rows(input, calibration);
  if (index.size(0) == 1) return added(stream, load_rows(weights, *input.positions, index, dtype));
  if (ForwardMode::current() != nullptr)
    return stream + load_rows(weights, *input.positions, index, dtype)().view(stream.sizes());
  for (std::int64_t i = 0; i < index.size(0); ++i)  // one by one: no second stream in memory
    added(stream[i], load_rows(weights, *input.positions, index[i], dtype));
  return stream;
}

}  // namespace

at::Tensor embed_tokens(const Weights& weights, const Architecture& architecture,
                        const Calibration& calibration, at::ScalarType dtype) {
  const TokenInput& input = *architecture.tokens;
  const at::Tensor& ids = calibration.ids;
  at::Tensor x = load_rows(weights, input.table, ids, dtype, input.scale)();
  if (input.projection) x = load_linear(weights, *input.projection, -1, dtype)(x);
  at::Tensor stream = x.view({ids.size(0), ids.size(1), architecture.hidden_size});
  if (const auto& types = input.types)
    stream = added(stream, load_parameter(weights, {&*types, 1}, -1, [&](const Weights& source) {
                     return source.load(*types, -1, dtype)[0];
                   }));
  return input.positions ? with_positions(weights, input, calibration, stream) : stream;
}

at::Tensor embed_for_predictor(const Weights& weights, const Architecture& architecture,
                               const at::Tensor& stream, at::ScalarType dtype) {
  const Predictor& predictor = *architecture.predictor;
  const Norm norm(weights, *architecture.final_norm, -1, dtype);
  const Linear embedding = load_linear(weights, predictor.embedding, -1, dtype);
  const at::Tensor masks = weights.load(predictor.mask_tokens, -1, dtype).flatten(0, 2);
  const std::int64_t length = stream.size(1);
  at::Tensor both = weights.empty({stream.size(0), 2 * length, predictor.stack.hidden_size}, dtype);
  both.narrow(1, length, length).copy_(masks[1 % masks.size(0)]);
  for (std::int64_t i = 0; i < both.size(0); ++i)
    both[i].narrow(0, 0, length).copy_(embedding(norm(stream[i])));
  return both;
}

}  // namespace deadray
