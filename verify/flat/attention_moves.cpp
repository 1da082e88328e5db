#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "verify/base/tensors.h"
#include "verify/flat/causes.h"
#include "verify/flat/curve_weights.h"

namespace deadray::flat {

using census::BlockUse;

namespace {

/// Where the heads' outputs stand in the packed map.
struct Heads {
  const AttentionSpec& a;

  std::int64_t shared() const { return a.n_heads / a.n_kv_heads; }
  Range at(std::int64_t place) const { return {place * a.head_dim, a.head_dim}; }
  /// @param head  of all query heads
  Range query(std::int64_t head) const {
    if (a.packing == Packing::blocks) return at(head);
    return at(head / shared() * (shared() + 2) + head % shared());
  }
  Range key(std::int64_t k) const {
    return at(a.packing == Packing::blocks ? a.n_heads + k : k * (shared() + 2) + shared());
  }
  Range value(std::int64_t k) const {
    return at(a.packing == Packing::blocks ? a.n_heads + a.n_kv_heads + k
                                           : k * (shared() + 2) + shared() + 1);
  }
};

/// The dimensions of a head that turn in pairs, and those that do not turn.
struct Turning {
  std::vector<std::array<std::int64_t, 2>> pairs;
  std::vector<std::int64_t> plain;
  bool rotates = true;  ///< false: the members of a pair turn by different angles
};

Turning turning_of(const AttentionSpec& a) {
  Turning turning;
  std::vector<bool> turned(static_cast<std::size_t>(a.head_dim), false);
  if (a.rope) {
    const Rope& rope = *a.rope;
    const bool proportional = rope.scaling == Rope::Scaling::proportional;
    const std::int64_t half = rope.rotated_dims / 2, n = proportional ? rope.turning_pairs : half;
    turning.rotates = rope.pairing != Rope::Pairing::tiled_interleaved;
    for (std::int64_t axis = 0; axis < rope.axes; ++axis)
      for (std::int64_t i = 0; i < n; ++i) {
        const std::int64_t first = axis * rope.rotated_dims;
        const bool split = rope.pairing == Rope::Pairing::half_split;
        turning.pairs.push_back(
            {first + (split ? i : 2 * i), first + (split ? i + half : 2 * i + 1)});
        for (const std::int64_t j : turning.pairs.back())
          turned[static_cast<std::size_t>(j)] = true;
      }
  }
  for (std::int64_t i = 0; i < a.head_dim; ++i)
    if (!turned[static_cast<std::size_t>(i)]) turning.plain.push_back(i);
  return turning;
}

at::Tensor indices(const std::vector<std::int64_t>& of) {
  return at::tensor(at::ArrayRef<std::int64_t>(of), at::TensorOptions().dtype(at::kLong));
}

/// A generator that commutes with the rotations: any matrix on what does not turn, a complex number
/// on each pair.
at::Tensor commuting(const Builder& builder, const AttentionSpec& a, const std::string& what) {
  const Turning turning = turning_of(a);
  const at::Tensor b = at::zeros({a.head_dim, a.head_dim}, fp64());
  if (const auto n = static_cast<std::int64_t>(turning.plain.size()); n > 0) {
    const at::Tensor plain = indices(turning.plain), drawn = builder.normals(what, {n, n});
    b.index_put_({plain.unsqueeze(1), plain.unsqueeze(0)},
                 drawn / at::linalg_matrix_norm(drawn, 2));
  }
  const auto n = static_cast<std::int64_t>(turning.pairs.size());
  const at::Tensor drawn = builder.normals(what + " pairs", {n, 2});
  for (std::int64_t k = 0; k < n; ++k) {
    const auto [i, j] = turning.pairs[static_cast<std::size_t>(k)];
    const double size = drawn[k].norm().item<double>(), real = drawn[k][0].item<double>() / size,
                 imaginary = turning.rotates ? drawn[k][1].item<double>() / size : 0.0;
    b[i][i] = b[j][j] = real;
    b[i][j] = -imaginary;
    b[j][i] = imaginary;
  }
  return b;
}

/// Scales of a head that are equal within a pair.
at::Tensor paired_scales(const Builder& builder, const AttentionSpec& a, const std::string& what) {
  const at::Tensor drawn = builder.normals(what, {a.head_dim});
  for (const auto& [i, j] : turning_of(a).pairs) drawn[j] = drawn[i];
  return drawn / drawn.abs().max();
}

/// gamma_q by s, gamma_k by 1/s, where norms with scales hide what is before them.
void scale_norms(Builder& builder, const BlockUse& block) {
  const AttentionSpec& a = block.spec->attention;
  const std::int64_t heads = a.key_norm->rows > 0 ? a.n_kv_heads : 1;
  for (std::int64_t k = 0; k < heads; ++k) {
    const auto up = std::make_shared<Generator>(paired_scales(builder, a, fmt::format("{}", k)));
    const auto down = Builder::inverse(*up);
    const auto scale = [&](const NormSpec& norm, std::int64_t row, const auto& by) {
      for (Place place :
           {builder.scale_of(norm, block.index), builder.shift_of(norm, block.index)}) {
        const bool is_bias = place.spec.name.ends_with(".bias");
        if (is_bias && !norm.has_bias) continue;
        if (norm.rows == 0 || is_bias) {
          if (row == 0) builder.multiply_left(place, {by});
          continue;
        }
        place.rows = {row, 1};
        builder.multiply_right(place, {by});
      }
    };
    const std::int64_t shared = a.key_norm->rows > 0 ? a.n_heads / a.n_kv_heads : 1;
    for (std::int64_t q = 0; q < (a.query_norm->rows > 0 ? shared : 1); ++q)
      scale(*a.query_norm, k * shared + q, up);
    scale(*a.key_norm, k, down);
  }
}

bool per_head_shift(const AttentionSpec& a) {
  return (a.query_norm && a.query_norm->rows > 0 && a.query_norm->has_bias);
}

}  // namespace

void values(Builder& builder) {
  const BlockUse& block = *builder.block();
  const AttentionSpec& a = block.spec->attention;
  const Heads heads{a};
  for (std::int64_t k = 0; k < a.n_kv_heads; ++k) {
    const std::string what = fmt::format("{}", k);
    std::shared_ptr<const Generator> mix = builder.invertible(what, a.head_dim);
    if (a.value_norm) {  // its root mean square is kept by rotations alone
      const at::Tensor turn = mix->matrix() - mix->matrix().t();
      mix = std::make_shared<Generator>(turn / at::linalg_matrix_norm(turn, 2));
    }
    builder.multiply_outputs(a.qkv, block.index, {mix}, heads.value(k));
    const Factor back{Builder::inverse(*mix)};
    for (std::int64_t q = k * heads.shared(); q < (k + 1) * heads.shared(); ++q)
      builder.multiply_inputs(a.out, block.index, back, heads.at(q));
  }
}

void value_bias(Builder& builder) {
  const BlockUse& block = *builder.block();
  const AttentionSpec& a = block.spec->attention;
  const Heads heads{a};
  std::vector<at::Tensor> mixed;  // what the output map reads of it
  for (std::int64_t k = 0; k < a.n_kv_heads; ++k) {
    const at::Tensor v = builder.unit(fmt::format("{}", k), a.head_dim);
    if (!builder.write_constant(block.qkv(), a.qkv, block.index, v, heads.value(k)))
      return builder.give_up();
    for (std::int64_t q = 0; q < heads.shared(); ++q) mixed.push_back(v);
  }
  const at::Tensor added = builder.image(a.out, block.index, at::cat(mixed));
  if (!a.out.biases.empty()) {
    builder.write_constant({&a.out}, a.out, block.index, -added);
  } else if (block.spec->wiring == Wiring::parallel && !block.spec->mlp.out.biases.empty() &&
             !block.spec->mlp.routing && !block.spec->attention_layer_scale) {
    builder.write_constant({&block.spec->mlp.out}, block.spec->mlp.out, block.index, -added);
  } else {
    builder.give_up();
  }
}

void queries_keys(Builder& builder) {
  const BlockUse& block = *builder.block();
  const AttentionSpec& a = block.spec->attention;
  if (a.query_norm || a.key_norm)
    return per_head_shift(a) ? builder.give_up() : scale_norms(builder, block);
  const Heads heads{a};
  for (std::int64_t k = 0; k < a.n_kv_heads; ++k) {
    const at::Tensor b = commuting(builder, a, fmt::format("{}", k));
    const Factor of_queries{std::make_shared<Generator>(b)},
        of_keys{std::make_shared<Generator>(-b.t().contiguous())};
    builder.multiply_outputs(a.qkv, block.index, of_keys, heads.key(k));
    for (std::int64_t q = k * heads.shared(); q < (k + 1) * heads.shared(); ++q)
      builder.multiply_outputs(a.qkv, block.index, of_queries, heads.query(q));
  }
}

void key_bias(Builder& builder) {
  const BlockUse& block = *builder.block();
  const AttentionSpec& a = block.spec->attention;
  const Heads heads{a};
  const at::Tensor plain = indices(turning_of(a).plain);
  for (std::int64_t k = 0; k < a.n_kv_heads; ++k) {
    at::Tensor shift = at::zeros({a.head_dim}, fp64());
    shift.index_copy_(0, plain, builder.unit(fmt::format("{}", k), plain.size(0)));
    if (!builder.write_constant(block.qkv(), a.qkv, block.index, shift, heads.key(k)))
      return builder.give_up();
  }
  for (std::int64_t q = 0; q < a.n_heads; ++q)
    for (const auto& part : builder.outputs(a.qkv, block.index, heads.query(q)))
      builder.keep_alive(part.bias ? *part.bias : part.weight);
}

void qk_layernorm(Builder& builder) {
  const BlockUse& block = *builder.block();
  const AttentionSpec& a = block.spec->attention;
  const Heads heads{a};
  const auto along_one = [&](const std::optional<NormSpec>& norm, std::int64_t n, auto range) {
    if (!norm || norm->kind != NormKind::layernorm) return;
    for (std::int64_t head = 0; head < n; ++head)
      for (const auto& part : builder.outputs(a.qkv, block.index, range(head))) {
        const std::string what = fmt::format("{} {}", norm->name, head);
        builder.shift(
            part.weight,
            builder.unit(what, a.qkv.inputs).unsqueeze(0).expand({part.count, a.qkv.inputs}));
        if (part.bias) builder.shift(*part.bias, at::ones({part.count, 1}, fp64()));
      }
  };
  along_one(a.query_norm, a.n_heads, [&](std::int64_t h) { return heads.query(h); });
  along_one(a.key_norm, a.n_kv_heads, [&](std::int64_t k) { return heads.key(k); });
  for (Place& place : builder.inputs(a.out, block.index))  // what lives beside it
    builder.keep_alive(std::move(place));
}

}  // namespace deadray::flat
