#include <ATen/ATen.h>
#include <fmt/format.h>

#include <optional>

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

/// `a` in the stream, for every token, from this writer.
void write_vector(Builder& builder, const Event& event, const at::Tensor& a) {
  if (event.kind == Kind::table) {
    builder.shift(Builder::table(*event.table, {event.first_row, event.rows}),
                  a.unsqueeze(0).expand({event.rows, a.size(0)}));
  } else if (event.kind == Kind::norm) {
    builder.shift(builder.shift_of(*event.norm->spec, event.norm->block), a.unsqueeze(1));
  } else {
    const at::Tensor scale = builder.inverse_layer_scale(event);
    builder.write_constant(event.map, *event.map.map, event.block, scale.defined() ? a * scale : a);
  }
}

/// A constant goes from one writer to the next, and what reads the stream between takes it back.
void hand_over(Builder& builder, const Segment& segment, std::size_t first, const char* what) {
  bool through_norm = false;
  std::size_t next = first + 1;
  for (; next < segment.events.size(); ++next) {
    const Event& event = segment.events[next];
    if (event.is_write() && event.writes_constant()) break;
    if (event.is_layernorm_read())
      through_norm = true;
    else if (event.sees_constant())
      return;
  }
  if (next == segment.events.size()) return;
  const at::Tensor a =
      through_norm ? at::ones({segment.width}, fp64()) : builder.unit(what, segment.width);
  write_vector(builder, segment.events[first], a);
  for (std::size_t i = first + 1; i < next; ++i)
    if (const Event& event = segment.events[i]; event.kind == Kind::read_map)
      builder.take_back(event.map, a, segment.events[first].norm);
  write_vector(builder, segment.events[next], -a);
}

void write_along_one(Builder& builder, const Event& event, std::int64_t number) {
  const auto drawn = [&](std::int64_t copy, std::int64_t n) {
    return builder.unit(fmt::format("{}/{}", number, copy), n);
  };
  if (event.kind == Kind::table) {
    if (event.tied) return;
    builder.shift(Builder::table(*event.table, {event.first_row, event.rows}),
                  drawn(0, event.rows).unsqueeze(1));
  } else if (event.kind == Kind::norm) {
    if (event.norm->spec->has_bias)
      builder.shift(builder.shift_of(*event.norm->spec, event.norm->block),
                    at::ones({event.norm->spec->width, 1}, fp64()));
  } else {
    const at::Tensor scale = builder.inverse_layer_scale(event);
    const at::Tensor one =
        scale.defined() ? scale.unsqueeze(1) : at::ones({event.map.map->outputs, 1}, fp64());
    std::int64_t copy = 0;
    for (const LinearSpec& map : builder.copies(event.map))
      for (const auto& part : builder.outputs(map, event.block)) {
        const at::Tensor rows = one.narrow(0, part.first, part.count);
        const std::int64_t inputs = load_place(*builder.model().weights, part.weight).size(1);
        builder.shift_by_product(part.weight, rows.squeeze(1), drawn(copy++, inputs));
        if (part.bias) builder.shift(*part.bias, rows);
      }
  }
}

/// Words, positions, types: a constant from the first free one to each other.
void sum_of_tokens(Builder& builder, const TokenInput& tokens, bool tied) {
  const std::int64_t d = builder.graph().architecture->hidden_size;
  const auto others = {&tokens.positions, &tokens.types};
  std::optional<at::Tensor> sum;
  const auto add = [&](const std::optional<TensorSpec>& table, const at::Tensor& a) {
    builder.shift(Builder::table(*table), a.unsqueeze(0).expand({table->shape[0], d}));
    sum = sum ? *sum + a : a;
  };
  const bool has_first = !tied || tokens.positions;
  for (const auto* table : others)
    if (*table && (has_first && (table != &tokens.positions || !tied)))
      add(*table, builder.unit((*table)->name, d));
  if (!sum) return;
  if (tied) {
    builder.shift(Builder::table(*tokens.positions),
                  -sum->unsqueeze(0).expand({tokens.positions->shape[0], d}));
  } else if (!tokens.projection) {
    builder.shift(Builder::table(tokens.table),
                  (*sum / -tokens.scale).unsqueeze(0).expand({tokens.table.shape[0], d}));
  } else {
    builder.give_up();
  }
}

/// Words behind a projection P: p in each, and P p off the positions.
void sum_behind_projection(Builder& builder, const TokenInput& tokens) {
  const std::int64_t width = tokens.table.shape[1];
  const at::Tensor p = builder.unit("words", width);
  const at::Tensor a = builder.image(*tokens.projection, -1, p) * tokens.scale;
  builder.shift(Builder::table(tokens.table),
                p.unsqueeze(0).expand({tokens.table.shape[0], width}));
  builder.shift(Builder::table(*tokens.positions),
                -a.unsqueeze(0).expand({tokens.positions->shape[0], a.size(0)}));
}

void sum_of_patches(Builder& builder, const PatchInput& patches) {
  if (!patches.positions) return;
  const std::int64_t d = patches.projection.outputs, leading = patches.class_token ? 1 : 0;
  const auto take = [&](const at::Tensor& a, Range rows) {
    Place place = Builder::table(*patches.positions, rows);
    builder.shift(place, a.unsqueeze(0));
  };
  if (!patches.projection.biases.empty()) {
    const at::Tensor a = builder.unit("patches", d);
    builder.write_constant({&patches.projection}, patches.projection, -1, a);
    take(-a, {leading, -1});
  }
  if (!patches.class_token) return;
  const at::Tensor a = builder.unit("class", d);
  builder.shift(Builder::table(*patches.class_token), a.unsqueeze(0));
  take(-a, {0, 1});
}

}  // namespace

void along_one(Builder& builder) {
  std::int64_t number = 0;
  for (const Segment& segment : builder.graph().segments)
    for (std::size_t i = 0; i < segment.events.size(); ++i) {
      const Event& event = segment.events[i];
      if (!builder.is_of_key(segment.stack, event.block) || !event.is_write()) continue;
      if (segment.ignores_one_after(i)) write_along_one(builder, event, number++);
    }
}

void tables(Builder& builder) {
  const Architecture& a = *builder.graph().architecture;
  const bool tied = a.head && a.head->tied;
  for (const Segment& segment : builder.graph().segments) {
    if (segment.stack != builder.key().stack || segment.sums.empty()) continue;
    if (a.patches) {
      sum_of_patches(builder, *a.patches);
    } else if (a.tokens->projection && !tied && a.tokens->positions) {
      sum_behind_projection(builder, *a.tokens);
    } else if (segment.sums.front().sources > 1) {
      sum_of_tokens(builder, *a.tokens, tied);
    } else {
      std::size_t first = 0;
      while (first < segment.events.size() &&
             (segment.events[first].kind != Kind::table || segment.events[first].tied))
        ++first;
      if (first < segment.events.size()) hand_over(builder, segment, first, "a");
    }
  }
}

void parallel(Builder& builder) {
  for (const Segment& segment : builder.graph().segments)
    for (std::size_t i = 0; i < segment.events.size(); ++i) {
      const Event& event = segment.events[i];
      if (event.kind == Kind::map && event.writes_constant() &&
          builder.is_of_key(segment.stack, event.block))
        hand_over(builder, segment, i, event.is_attention ? "attention" : "mlp");
    }
}

void shift_along_stream(Builder& builder, const NormUse& norm) {
  for (const Segment& segment : builder.graph().segments)
    if (segment.events.front().kind == Kind::norm && segment.events.front().norm == &norm)
      hand_over(builder, segment, 0, norm.spec->name.c_str());
}

}  // namespace deadray::flat
