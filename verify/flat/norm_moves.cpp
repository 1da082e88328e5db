#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>

#include "verify/flat/causes.h"

namespace deadray::flat {

using census::MapUse;
using census::NormUse;

namespace {

template <class F>
void for_each_norm(Builder& builder, F&& f) {
  std::int64_t number = 0;
  for (const NormUse& norm : builder.graph().norms)
    if (builder.is_of_key(norm.stack, norm.block)) f(norm, number++);
}

/// Whether nobody reads the norm but maps that are its own, on the way to the output.
bool is_read_by_maps_alone(const Builder& builder, const NormUse& norm) {
  return !norm.feeds_stream && !norm.is_output && !norm.readers.empty() &&
         std::all_of(norm.readers.begin(), norm.readers.end(),
                     [&](const MapUse& map) { return builder.reaches_output(*map.map); });
}

void kernel_of(Builder& builder, const NormUse& norm, const MapUse& map, std::int64_t number) {
  const std::vector<Functional> all = builder.functionals(norm);
  const Functional* fixed = nullptr;
  for (const Functional& one : all)
    if (!map.map->biases.empty() || one.constant == 0.0) fixed = &one;
  if (fixed == nullptr || map.tied || !builder.reaches_output(*map.map)) return;
  std::int64_t copy = 0;
  for (const LinearSpec& spec : builder.copies(map))
    for (const auto& part : builder.outputs(spec, map.block)) {
      const at::Tensor u = builder.unit(
          fmt::format("{}/{}/{}/{}", number, spec.weights[0].name, copy++, part.first), part.count);
      builder.shift_by_product(part.weight, u, fixed->r);
      if (part.bias && fixed->constant != 0.0)
        builder.shift(*part.bias, u.unsqueeze(1) * -fixed->constant);
    }
}

}  // namespace

void norm_kernel(Builder& builder) {
  for_each_norm(builder, [&](const NormUse& norm, std::int64_t number) {
    for (const MapUse& map : norm.readers) kernel_of(builder, norm, map, number);
  });
}

void norm_shift(Builder& builder) {
  for_each_norm(builder, [&](const NormUse& norm, std::int64_t number) {
    if (!norm.spec->has_bias || norm.is_absorbed) return;
    if (norm.feeds_stream) return shift_along_stream(builder, norm);
    if (!is_read_by_maps_alone(builder, norm)) return;
    for (const MapUse& map : norm.readers)
      if (!map.writes_constant()) return;
    at::Tensor a = builder.unit(fmt::format("{}", number), norm.spec->width);
    for (const Functional& one : builder.functionals(norm))
      if (one.constant != 0.0 && one.r.dot(a).item<double>() * one.constant < 0)
        a = -a;  // so that no step meets a pole
    builder.shift(builder.shift_of(*norm.spec, norm.block), a.unsqueeze(1));
    for (const MapUse& map : norm.readers)
      if (!builder.take_back(map, a, &norm)) builder.give_up();
  });
}

void norm_scale(Builder& builder) {
  for_each_norm(builder, [&](const NormUse& norm, std::int64_t number) {
    if (!norm.spec->has_scale || norm.is_absorbed || !is_read_by_maps_alone(builder, norm)) return;
    for (const MapUse& map : norm.readers)
      if (map.tied) return;
    const auto up = builder.scales(fmt::format("{}", number), norm.spec->width);
    const Factor down{Builder::inverse(*up)};
    builder.multiply_left(builder.scale_of(*norm.spec, norm.block), {up});
    if (norm.spec->has_bias) builder.multiply_left(builder.shift_of(*norm.spec, norm.block), {up});
    for (const MapUse& map : norm.readers)
      for (const LinearSpec& copy : builder.copies(map))
        builder.multiply_inputs(copy, map.block, down);
  });
}

}  // namespace deadray::flat
