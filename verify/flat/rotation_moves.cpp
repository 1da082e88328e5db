#include <ATen/ATen.h>

#include <algorithm>

#include "host/census/causes.h"
#include "verify/base/tensors.h"
#include "verify/flat/causes.h"
#include "verify/flat/curve_weights.h"

namespace deadray::flat {

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

/// A change of basis of the whole stream: x becomes exp(tB) x. Each writer by it, each reader by
/// its inverse.
struct Basis {
  std::shared_ptr<const Generator> writers;  ///< B
  std::shared_ptr<const Generator> rows;     ///< B^T, for tables, whose rows are x
  std::shared_ptr<const Generator> readers;  ///< -B
  bool norms_turn;                           ///< false: LayerNorms do not see it
};

bool write(Builder& builder, const Event& event, const Basis& basis) {
  if (event.kind == Kind::table) {
    builder.multiply_right(Builder::table(*event.table, {event.first_row, event.rows}),
                           {basis.rows});
    return true;
  }
  if (event.kind != Kind::map) return false;
  for (const LinearSpec& map : builder.copies(event.map)) {
    if (builder.outputs(map, event.block).size() > 1) return false;
    builder.multiply_outputs(map, event.block, {basis.writers, builder.inverse_layer_scale(event)});
  }
  return true;
}

void read_norm(Builder& builder, const NormUse& norm, const Basis& basis) {
  const at::Tensor gamma = folded_scale(builder, norm);
  for (const auto& map : norm.readers)
    if (!map.tied)  // else it turned with the table
      for (const LinearSpec& copy : builder.copies(map))
        builder.multiply_inputs(copy, map.block, {basis.readers, gamma});
  if (norm.spec->has_bias)
    builder.multiply_left(builder.shift_of(*norm.spec, norm.block), {basis.writers, gamma});
}

void change_basis(Builder& builder, const Segment& segment, const Basis& basis) {
  for (const Event& event : segment.events) {
    if (event.is_write()) {
      if (!write(builder, event, basis)) return builder.give_up();
    } else if (event.kind == Kind::read_norm) {
      if (basis.norms_turn) read_norm(builder, *event.norm, basis);
    } else if (event.kind == Kind::read_map && !event.tied) {
      for (const LinearSpec& copy : builder.copies(event.map))
        builder.multiply_inputs(copy, event.map.block, {basis.readers});
    }
  }
}

}  // namespace

void rotation(Builder& builder) {
  for (const Segment& segment : builder.graph().segments) {
    if (segment.stack != builder.key().stack || segment.sums.empty()) continue;
    if (census::turns(builder.graph(), segment)) {
      const auto turn = turn_of(builder, segment), back = Builder::inverse(*turn);
      if (!turn->matrix().isfinite().all().item<bool>())
        return builder.give_up();  // of 0 dimensions
      change_basis(builder, segment, {turn, back, back, true});
    } else if (census::mixes_along_one(segment)) {
      const at::Tensor w = builder.unit("w", segment.width),
                       b = at::ones({segment.width, 1}, fp64()) * w;
      const auto mix = std::make_shared<Generator>(b);
      change_basis(
          builder, segment,
          {mix, std::make_shared<Generator>(b.t().contiguous()), Builder::inverse(*mix), false});
    }
  }
}

}  // namespace deadray::flat
