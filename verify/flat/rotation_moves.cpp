#include <ATen/ATen.h>

#include <algorithm>

#include "verify/base/tensors.h"
#include "verify/flat/causes.h"
#include "verify/flat/curve_weights.h"

namespace deadray::flat {

using census::BlockUse;
using census::Event;
using census::NormUse;
using census::Segment;
using Kind = Event::Kind;

namespace {

/// A turn of the stream that all its norms leave alone: of the coordinates that no scale of 0
/// singles out; with LayerNorms it fixes 1.
std::shared_ptr<const Generator> turn_of(const Builder& builder, const Segment& segment) {
  at::Tensor free = at::ones({segment.width}, fp64());
  bool fixes_one = false;
  for (const Event& event : segment.events) {
    if (event.kind != Kind::read_norm) continue;
    fixes_one = fixes_one || event.norm->is_layernorm();
    for (const std::int64_t i : event.norm->zeros) free[i] = 0.0;
  }
  const at::Tensor drawn = builder.normals("turn", {segment.width, segment.width});
  at::Tensor b = (drawn - drawn.t()) * free * free.unsqueeze(1);
  if (fixes_one) {
    const at::Tensor one = (free / free.norm()).unsqueeze(1);
    // P b P, and antisymmetric to the last bit.
    b = b - one.mm(one.t().mm(b));
    b = b - b.mm(one).mm(one.t());
    b = (b - b.t()) / 2;
  }
  return std::make_shared<Generator>(b / at::linalg_matrix_norm(b, 2));
}

/// gamma, with 1 in the place of 0; undefined where the norm has none.
at::Tensor folded_scale(const Builder& builder, const NormUse& norm) {
  if (!norm.spec->has_scale) return {};
  const Place place = builder.scale_of(*norm.spec, norm.block);
  const at::Tensor gamma = load_place(*builder.model().weights, place).squeeze(1) + place.offset;
  return at::where(gamma == 0, 1.0, gamma);
}

at::Tensor layer_scale(const Builder& builder, const Event& event) {
  for (const BlockUse& block : builder.graph().blocks) {
    if (block.stack != builder.key().stack || block.index != event.block) continue;
    const auto& scale =
        event.is_attention ? block.spec->attention_layer_scale : block.spec->mlp_layer_scale;
    if (scale)
      return load_place(*builder.model().weights, {*scale, event.block}).squeeze(1).reciprocal();
  }
  return {};
}

}  // namespace

void rotation(Builder& builder) {
  for (const Segment& segment : builder.graph().segments) {
    if (segment.stack != builder.key().stack || segment.sums.empty()) continue;
    const auto turn = turn_of(builder, segment), back = Builder::inverse(*turn);
    for (const Event& event : segment.events) {
      if (event.kind == Kind::table) {
        builder.multiply_right(Builder::table(*event.table, {event.first_row, event.rows}), {back});
      } else if (event.kind == Kind::map) {
        for (const LinearSpec& map : builder.copies(event.map)) {
          if (builder.outputs(map, event.block).size() > 1) return builder.give_up();
          builder.multiply_outputs(map, event.block, {turn, layer_scale(builder, event)});
        }
      } else if (event.kind == Kind::read_norm) {
        const NormUse& norm = *event.norm;
        const at::Tensor gamma = folded_scale(builder, norm);
        for (const auto& map : norm.readers) {
          if (map.tied) continue;  // it turned with the table
          for (const LinearSpec& copy : builder.copies(map))
            builder.multiply_inputs(copy, norm.block, {back, gamma});
        }
        if (norm.spec->has_bias)
          builder.multiply_left(builder.shift_of(*norm.spec, norm.block), {turn, gamma});
      } else if (event.kind == Kind::read_map) {
        if (event.tied) continue;
        for (const LinearSpec& copy : builder.copies(event.map))
          builder.multiply_inputs(copy, event.block, {back});
      } else {
        return builder.give_up();
      }
    }
  }
}

}  // namespace deadray::flat
