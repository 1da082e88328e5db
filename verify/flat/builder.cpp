#include "verify/flat/builder.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>

#include "host/architecture/norm_parameters.h"
#include "verify/base/tensors.h"
#include "verify/flat/curve_weights.h"
#include "verify/layers/output_stage.h"

namespace deadray::flat {

using census::BlockUse;
using census::MapUse;
using census::NormUse;

Builder::Builder(const Model& model, const census::Graph& graph, Key key, std::uint64_t seed,
                 std::int64_t number)
    : model_(model),
      graph_(graph),
      key_(key),
      seed_(seed),
      name_(fmt::format("{}/{}/{}/{}", key.cause, key.stack, key.block, number)) {}

const BlockUse* Builder::block() const {
  const auto found =
      std::find_if(graph_.blocks.begin(), graph_.blocks.end(),
                   [&](const BlockUse& block) { return is_of_key(block.stack, block.index); });
  return found == graph_.blocks.end() ? nullptr : &*found;
}

at::Tensor Builder::normals(std::string_view what, at::IntArrayRef shape) const {
  return random_numbers(seed_, fmt::format("{}/{}", name_, what), shape);
}
at::Tensor Builder::unit(std::string_view what, std::int64_t n) const {
  const at::Tensor drawn = normals(what, {n});
  return drawn / drawn.norm();
}
std::shared_ptr<const Generator> Builder::scales(std::string_view what, std::int64_t n) const {
  const at::Tensor drawn = normals(what, {n});
  return std::make_shared<Generator>(drawn / drawn.abs().max());
}
std::shared_ptr<const Generator> Builder::invertible(std::string_view what, std::int64_t n) const {
  const at::Tensor drawn = normals(what, {n, n});
  return std::make_shared<Generator>(drawn / at::linalg_matrix_norm(drawn, 2));
}
std::shared_ptr<const Generator> Builder::inverse(const Generator& generator) {
  return std::make_shared<Generator>(-generator.matrix());
}

bool Builder::reaches_output(const LinearSpec& map) const {
  const Architecture& a = *graph_.architecture;
  const bool is_behind = (a.pooler && &map == &*a.pooler) ||
                         (a.predictor && &map == &a.predictor->embedding) ||
                         (a.output_projection && !a.head && &map == &*a.output_projection);
  return !is_behind;
}

bool Builder::is_end(const LinearSpec& map, std::int64_t block) const {
  const Architecture& a = *graph_.architecture;
  if (block >= 0) return false;
  const std::string& name = map.weights[0].name;
  const auto is = [&](const LinearSpec& other) { return other.weights[0].name == name; };
  return (a.head && is(a.head->decoder)) || (a.output_projection && is(*a.output_projection)) ||
         (a.head && a.head->transform && is(a.head->transform->dense)) ||
         (a.pooler && is(*a.pooler));
}

std::vector<Builder::Outputs> Builder::outputs(const LinearSpec& map, std::int64_t block,
                                               Range rows) const {
  const LinearSpec& spec = model_.weights->as_stored(map, block);
  const bool along_columns = spec.storage == Storage::in_out;
  const std::int64_t end = rows.count < 0 ? spec.outputs : rows.first + rows.count;
  std::vector<Outputs> parts;
  std::int64_t first = 0;
  for (std::size_t i = 0; i < spec.weights.size(); ++i) {
    const std::int64_t count = spec.weights[i].shape[along_columns ? 1 : 0],
                       from = std::max(first, rows.first), to = std::min(first + count, end);
    if (from < to) {
      const Range range{from - first, to - from};
      Place weight{spec.weights[i], block, is_end(map, block),
                   along_columns ? Place::View::transposed : Place::View::matrix, range};
      std::optional<Place> bias;
      if (!spec.biases.empty())
        bias = Place{spec.biases[i], block, weight.is_end, Place::View::matrix, range};
      parts.push_back({std::move(weight), std::move(bias), from, to - from});
    }
    first += count;
  }
  return parts;
}

std::vector<Place> Builder::inputs(const LinearSpec& map, std::int64_t block, Range columns) const {
  std::vector<Place> places;
  for (Outputs& part : outputs(map, block)) {
    part.weight.columns = columns;
    places.push_back(std::move(part.weight));
  }
  return places;
}

namespace {

/// Whether a norm outside the blocks stands at the end of the model.
bool ends(const Architecture& a, const NormSpec& norm) {
  return (a.final_norm && a.final_norm->name == norm.name) ||
         (a.head && a.head->transform && a.head->transform->norm.name == norm.name);
}

}  // namespace

Place Builder::scale_of(const NormSpec& norm, std::int64_t block) const {
  const auto shape = norm.rows > 0 ? std::vector{norm.rows, norm.width} : std::vector{norm.width};
  const Init initial{norm.weight_offset == 0.0 ? Init::Kind::ones : Init::Kind::zeros};
  Place place{{norm.name + ".weight", shape, initial}, block, ends(*graph_.architecture, norm)};
  place.offset = norm.weight_offset;
  return place;
}
Place Builder::shift_of(const NormSpec& norm, std::int64_t block) const {
  return {{norm.name + ".bias", {norm.width}, {Init::Kind::zeros}},
          block,
          ends(*graph_.architecture, norm)};
}
Place Builder::table(const TensorSpec& spec, Range rows) {
  Place place{spec};
  place.view = Place::View::rows;
  place.rows = rows;
  return place;
}

void Builder::multiply_left(Place place, Factor factor) {
  move_.changes.push_back({std::move(place), std::move(factor)});
}
void Builder::multiply_right(Place place, Factor factor) {
  move_.changes.push_back({std::move(place), {}, std::move(factor)});
}
void Builder::shift(Place place, at::Tensor by, double curvature) {
  move_.changes.push_back({std::move(place), {}, {}, std::move(by), curvature});
}
void Builder::shift_by_product(Place place, const at::Tensor& u, at::Tensor r, double curvature) {
  shift(std::move(place), u.unsqueeze(1), curvature);
  move_.changes.back().across = std::move(r);
}
void Builder::multiply_outputs(const LinearSpec& map, std::int64_t block, const Factor& factor,
                               Range rows) {
  for (Outputs& part : outputs(map, block, rows)) {
    if (part.bias) multiply_left(*part.bias, factor);
    multiply_left(std::move(part.weight), factor);
  }
}
void Builder::multiply_inputs(const LinearSpec& map, std::int64_t block, const Factor& factor,
                              Range columns) {
  for (Place& place : inputs(map, block, columns)) multiply_right(std::move(place), factor);
}

std::vector<Functional> Builder::functionals(const NormUse& norm) const {
  const std::string stem = model_.weights->name(norm.spec->name, norm.block);
  const auto site = std::find_if(model_.sites.begin(), model_.sites.end(),
                                 [&](const NormSite& one) { return one.name == stem; });
  if (site == model_.sites.end()) return {};
  const NormParameters stored = norm_parameters(model_.stored(), *site);
  const at::Tensor gamma = to_tensor(stored.gamma),
                   beta = stored.beta.empty() ? at::zeros_like(gamma) : to_tensor(stored.beta);
  std::vector<Functional> all;
  for (const std::int64_t i : norm.zeros) {
    const at::Tensor unit = at::zeros_like(gamma);
    unit[i] = 1.0;
    all.push_back({unit, beta[i].item<double>()});
  }
  if (!all.empty() || !norm.is_layernorm()) return all;
  const at::Tensor inverse = gamma.abs().min() / gamma, r = inverse / inverse.norm();
  return {{r, stored.beta.empty() ? 0.0 : r.dot(beta).item<double>()}};
}

bool Builder::write_constant(const MapUse& map, const LinearSpec& spec, std::int64_t block,
                             const at::Tensor& a, Range rows, double moved) {
  const Functional* constant = nullptr;
  std::vector<Functional> all;
  if (spec.biases.empty()) {
    if (map.before == nullptr || map.tied) return false;
    all = functionals(*map.before);
    for (const Functional& one : all)
      if (one.constant != 0.0) constant = &one;
    if (constant == nullptr) return false;
  }
  for (const Outputs& part : outputs(spec, block, rows)) {
    const at::Tensor of_part = a.narrow(0, part.first - rows.first, part.count).unsqueeze(1);
    if (part.bias)
      shift(*part.bias, of_part);
    else
      shift_by_product(part.weight, of_part.squeeze(1), constant->r / constant->constant,
                       moved / constant->constant);
  }
  return true;
}

at::Tensor Builder::image(const LinearSpec& map, std::int64_t block, const at::Tensor& a) const {
  std::vector<at::Tensor> parts;
  for (const Outputs& part : outputs(map, block))
    parts.push_back(load_place(*model_.weights, part.weight).mv(a));
  return at::cat(parts);
}

std::vector<LinearSpec> Builder::copies(const MapUse& map) const {
  if (map.tied) return {stored_decoder(*graph_.architecture)};
  if (map.copies == 1) return {*map.map};
  std::vector<LinearSpec> all;
  for (std::int64_t e = 0; e < map.copies; ++e) all.push_back(expert(*map.map, e));
  return all;
}

bool Builder::take_back(const MapUse& map, const at::Tensor& a, const NormUse* moved) {
  double growth = 0.0;
  if (moved != nullptr && map.map->biases.empty())
    for (const Functional& one : functionals(*moved))
      if (one.constant != 0.0) growth = one.r.dot(a).item<double>();
  for (const LinearSpec& copy : copies(map))
    if (!write_constant(map, copy, map.block, -image(copy, map.block, a), {}, growth)) return false;
  return true;
}

at::Tensor Builder::inverse_layer_scale(const census::Event& event) {
  if (event.block < 0) return {};
  for (const BlockUse& block : graph_.blocks) {
    if (block.stack != key_.stack || block.index != event.block) continue;
    const auto& scale =
        event.is_attention ? block.spec->attention_layer_scale : block.spec->mlp_layer_scale;
    if (!scale) continue;
    const at::Tensor lambda = load_place(*model_.weights, {*scale, event.block}).squeeze(1);
    if ((lambda == 0).any().item<bool>()) give_up();
    return lambda.reciprocal();
  }
  return {};
}

std::optional<Move> Builder::take() {
  if (given_up_ || move_.changes.empty()) return std::nullopt;
  return std::move(move_);
}

}  // namespace deadray::flat
