#include <ATen/ATen.h>

#include <algorithm>

#include "verify/base/tensors.h"
#include "verify/flat/causes.h"
#include "verify/layers/output_stage.h"

namespace deadray::flat {

using census::MapUse;
using census::Segment;

namespace {

/// All rows by `a`, the bias by 1.
void shift_rows(Builder& builder, const LinearSpec& decoder, const at::Tensor& a) {
  for (const auto& part : builder.outputs(decoder, -1)) {
    builder.shift(part.weight, a.unsqueeze(0).expand({part.count, a.size(0)}));
    if (part.bias) builder.shift(*part.bias, at::ones({part.count, 1}, fp64()));
  }
}

/// The words by a, which another table takes off again, or which nobody reads along 1.
void shift_tied(Builder& builder, const HeadSpec& head, const TokenInput& tokens) {
  const std::int64_t d = head.decoder.inputs;
  const std::int64_t n = tokens.table.shape[0];
  const auto words = Builder::table(tokens.table);
  const auto& other = tokens.positions ? tokens.positions : tokens.types;
  const bool is_summed = other && !tokens.projection;
  const auto& segments = builder.graph().segments;
  const auto entry = std::find_if(segments.begin(), segments.end(), [](const Segment& segment) {
    return segment.stack == "model" && !segment.sums.empty();
  });
  const bool softmax = head.soft_cap == 0.0;
  if (softmax && is_summed) {
    const at::Tensor a = builder.unit("a", d);
    builder.shift(words, a.unsqueeze(0).expand({n, d}));
    builder.shift(Builder::table(*other),
                  (-tokens.scale * a).unsqueeze(0).expand({other->shape[0], d}));
  } else if (softmax && other) {
    const at::Tensor a = builder.unit("a", d);
    const at::Tensor there = builder.image(*tokens.projection, -1, a) * tokens.scale;
    builder.shift(words, a.unsqueeze(0).expand({n, d}));
    builder.shift(Builder::table(*other),
                  -there.unsqueeze(0).expand({other->shape[0], there.size(0)}));
  } else if (entry->ignores_one_after(0) && !tokens.projection && softmax) {
    builder.shift(words, at::ones({n, d}, fp64()) / std::sqrt(static_cast<double>(d)));
  }
  if (softmax && !head.decoder.biases.empty())
    builder.shift({head.decoder.biases[0], -1, true}, at::ones({n, 1}, fp64()));
}

}  // namespace

void head_softmax(Builder& builder) {
  const MapUse& decoder = builder.graph().decoder;
  const Architecture& a = *builder.graph().architecture;
  if (decoder.tied) return shift_tied(builder, *a.head, *a.tokens);
  shift_rows(builder, *decoder.map, builder.unit("a", decoder.map->inputs));
}

void maps_in_a_row(Builder& builder) {
  const Architecture& a = *builder.graph().architecture;
  const TokenInput& tokens = *a.tokens;
  const auto mix = builder.invertible("between", tokens.table.shape[1]);
  // x = P t, and t is a row of the table.
  builder.multiply_right(Builder::table(tokens.table),
                         {std::make_shared<Generator>(-mix->matrix().t().contiguous())});
  builder.multiply_inputs(*tokens.projection, -1, {mix});
  if (a.head && a.output_projection && a.head->tied)
    builder.multiply_outputs(*a.output_projection, -1,
                             {std::make_shared<Generator>(mix->matrix().t().contiguous())});
}

}  // namespace deadray::flat
