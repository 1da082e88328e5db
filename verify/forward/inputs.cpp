#include "verify/forward/inputs.h"

#include <ATen/ATen.h>

#include "verify/forward/token_places.h"
#include "verify/layers/linear.h"
#include "verify/layers/norm.h"

namespace deadray {

at::Tensor embed_tokens(const Weights& weights, const Architecture& architecture,
                        const Calibration& calibration, at::ScalarType dtype) {
  const TokenInput& input = *architecture.tokens;
  const at::Tensor& ids = calibration.ids;
  const auto rows_of = [&](const TensorSpec& table, const at::Tensor& index) {
    at::Tensor rows = weights.empty({index.numel(), table.shape[1]}, dtype);
    weights.read_rows(table, index, rows);
    return rows;
  };
  at::Tensor x = rows_of(input.table, ids.view({-1}));
  if (input.scale != 1.0) x *= at::scalar_tensor(input.scale, x.options());
  if (input.projection) x = load_linear(weights, *input.projection, -1, dtype)(x);
  at::Tensor stream = x.view({ids.size(0), ids.size(1), architecture.hidden_size});
  if (input.types) stream += weights.load(*input.types, -1, dtype)[0];
  if (input.positions) {
    const at::Tensor index = text_positions(calibration, input.counting) + input.position_offset;
    if (index.size(0) == 1)
      stream += rows_of(*input.positions, index[0]);
    else
      for (std::int64_t i = 0; i < index.size(0); ++i)
        stream[i].add_(rows_of(*input.positions, index[i]));
  }
  return stream;
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
