#include "verify/directional/parameter_directions.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "host/base/error.h"
#include "kernels/operations/random_normal.h"
#include "verify/base/tensors.h"

namespace deadray {

namespace {

using Kind = ParameterDirection::Kind;
using Family = DeadParameters::Family;

/// A direction r, |r| = 1, with <r, h> = constant for every input where the norm fixes it; where it
/// does not (an RMSNorm), the same construction.
struct Functional {
  at::Tensor r;  // [hidden_size]
  double constant = 0.0;
};

/// v* of a LayerNorm; e_i for each gamma_i = 0; of an RMSNorm 1/gamma, along which nothing is
/// constant.
std::vector<Functional> all_functionals(const NormParameters& norm, const DeadSubspace& subspace) {
  const auto d = static_cast<std::int64_t>(norm.gamma.size());
  const at::Tensor beta = norm.beta.empty() ? at::zeros({d}, fp64()) : to_tensor(norm.beta);
  std::vector<Functional> all;
  for (std::int64_t i = 0; i < d; ++i) {
    if (norm.gamma[static_cast<std::size_t>(i)] != 0.0) continue;
    at::Tensor unit = at::zeros({d}, fp64());
    unit[i] = 1.0;
    all.push_back({unit, beta[i].item<double>()});
  }
  if (!all.empty() || subspace.inverse.empty()) return all;
  // From what the claims rest on: evaluated anew, a constant of 0 could be some rounding off it.
  const double constant =
      std::ldexp(subspace.constant.value_or(0.0), subspace.exponent) / subspace.inverse_norm;
  return {{to_tensor(subspace.direction()), constant}};
}

/// Those whose constant is 0, and of the n others n - 1 combinations with that constant.
std::vector<Functional> without_constant(const std::vector<Functional>& all) {
  std::vector<Functional> free;
  const Functional* first = nullptr;
  for (const Functional& one : all) {
    if (one.constant == 0.0) {
      free.push_back(one);
    } else if (first == nullptr) {
      first = &one;
    } else {
      const at::Tensor r = one.constant * first->r - first->constant * one.r;
      free.push_back({r / r.norm(), 0.0});
    }
  }
  return free;
}

std::vector<Functional> with_constant(std::vector<Functional> all) {
  std::erase_if(all, [](const Functional& one) { return one.constant == 0.0; });
  return all;
}

struct Functionals {
  std::vector<Functional> all, without_constant, with_constant;

  Functionals(const NormParameters& norm, const DeadSubspace& subspace)
      : all(all_functionals(norm, subspace)),
        without_constant(deadray::without_constant(all)),
        with_constant(deadray::with_constant(all)) {}
};

/// A direction before it is drawn: of which consumer, from which functional, and its number.
struct Outline {
  std::size_t consumer;
  Kind kind;
  bool of_shift;
  const Functional* functional;
  std::int64_t k;
};

/// Whether the consumer's bias takes up the constant.
bool takes_bias(const Consumer& consumer, const Functional& functional) {
  return consumer.has_bias && functional.constant != 0.0;
}

std::vector<Outline> outlines_of(const NormSite& site, const Functionals& functionals,
                                 const std::vector<DeadParameters>& claims,
                                 const DirectionCounts& counts) {
  std::vector<Outline> outlines;
  if (functionals.all.empty()) return outlines;
  const auto nth = [](const std::vector<Functional>& of, std::int64_t k) {
    return &of[static_cast<std::size_t>(k) % of.size()];
  };
  bool shift_drawn = false;  // it is drawn once, for all consumers that it moves
  for (std::size_t i = 0; i < claims.size(); ++i) {
    const Family family = claims[i].family;
    const bool shifts = family == Family::weight_and_beta && !shift_drawn;
    const bool bare = family == Family::weight || family == Family::weight_and_beta;  // no bias
    const std::vector<Functional>& own = bare ? functionals.without_constant : functionals.all;
    const std::vector<Functional>& shifted = functionals.with_constant;
    for (std::int64_t k = 0; k < counts.dead; ++k) {
      if (shifts)
        for (const Kind kind : {Kind::dead, Kind::weight_only})
          outlines.push_back({i, kind, true, nth(shifted, k), k});
      if (own.empty()) continue;
      outlines.push_back({i, Kind::dead, false, nth(own, k), k});
      if (takes_bias(site.consumers[i], *nth(own, k)))
        outlines.push_back({i, Kind::weight_only, false, nth(own, k), k});
    }
    for (std::int64_t k = 0; k < counts.controls; ++k) {
      if (shifts) outlines.push_back({i, Kind::random, true, nth(shifted, k), k});
      if (!own.empty()) outlines.push_back({i, Kind::random, false, nth(own, k), k});
    }
    shift_drawn = shift_drawn || shifts;
  }
  return outlines;
}

class Drawing {
 public:
  Drawing(const NormSite& site, std::uint64_t seed) : site_(site), seed_(seed) {}

  ParameterDirection draw(const Outline& outline) const {
    ParameterDirection direction{outline.kind, site_.consumers[outline.consumer].name, {}};
    const bool control = outline.kind == Kind::random;
    if (outline.of_shift)
      direction.move = control ? control_shift(outline) : dead_shift(outline);
    else
      direction.move = control ? control_move(outline) : dead_move(outline);
    return direction;
  }

 private:
  at::Tensor unit(const Outline& outline, const char* what, std::int64_t n) const {
    const std::string stream = fmt::format("fisher/{}/{}/{}/{}", site_.name,
                                           site_.consumers[outline.consumer].name, what, outline.k);
    const at::Tensor drawn = at::empty({n}, at::kFloat);
    kernels::random_normal(seed_, kernels::stream_of(stream), 0, n, 1.0F, drawn.data_ptr<float>());
    const at::Tensor wide = drawn.to(at::kDouble);
    return wide / wide.norm();
  }

  /// The same u for both kinds of one k.
  ConsumerMove dead_move(const Outline& outline) const {
    const Consumer& consumer = site_.consumers[outline.consumer];
    const bool compensated =
        outline.kind == Kind::dead && takes_bias(consumer, *outline.functional);
    return {consumer.name, consumer.transposed, unit(outline, "u", consumer.width),
            outline.functional->r, compensated ? -outline.functional->constant : 0.0};
  }

  ConsumerMove control_move(const Outline& outline) const {
    const Consumer& consumer = site_.consumers[outline.consumer];
    const std::int64_t d = site_.hidden_size;
    const at::Tensor both = unit(outline, "control r", d + (consumer.has_bias ? 1 : 0)) *
                            std::hypot(1.0, consumer.has_bias ? outline.functional->constant : 0.0);
    return {consumer.name, consumer.transposed, unit(outline, "control u", consumer.width),
            both.narrow(0, 0, d).contiguous(), consumer.has_bias ? both[d].item<double>() : 0.0};
  }

  BetaShift dead_shift(const Outline& outline) const {
    const Functional& functional = *outline.functional;
    at::Tensor a = unit(outline, "shift", site_.hidden_size);
    double curvature = functional.r.dot(a).item<double>() / functional.constant;
    if (curvature < 0) a = -a, curvature = -curvature;
    BetaShift shift = shift_of(a, functional.r / -functional.constant);
    shift.curvature = curvature;
    if (outline.kind == Kind::weight_only) shift.norm.reset();
    return shift;
  }

  BetaShift control_shift(const Outline& outline) const {
    return shift_of(unit(outline, "shift", site_.hidden_size),
                    unit(outline, "control r", site_.hidden_size) / outline.functional->constant);
  }

  /// W a is taken off by the bias of a consumer or, where it has none, along r by its weight.
  BetaShift shift_of(const at::Tensor& a, const at::Tensor& r) const {
    BetaShift shift{site_.name, a, {}};
    for (const Consumer& consumer : site_.consumers)
      shift.compensations.push_back({consumer.name, consumer.transposed,
                                     consumer.has_bias ? at::zeros_like(r) : r,
                                     consumer.has_bias ? -1.0 : 0.0});
    return shift;
  }

  const NormSite& site_;
  std::uint64_t seed_;
};

}  // namespace

const Compensation& BetaShift::of(const std::string& consumer) const {
  for (const Compensation& one : compensations)
    if (one.consumer == consumer) return one;
  throw InternalError(fmt::format("'{}' compensates no shift of beta", consumer));
}

std::string_view to_string(Kind kind) noexcept {
  switch (kind) {
    case Kind::dead:
      return "dead";
    case Kind::weight_only:
      return "weight_only";
    case Kind::random:
      return "random";
  }
  return "?";
}

std::vector<ParameterDirection> parameter_directions(
    const NormSite& site, const NormParameters& norm, const DeadSubspace& subspace,
    const std::vector<DeadParameters>& claims, const DirectionCounts& counts, std::uint64_t seed) {
  const Functionals functionals(norm, subspace);
  const Drawing drawing(site, seed);
  std::vector<ParameterDirection> directions;
  for (const Outline& outline : outlines_of(site, functionals, claims, counts))
    directions.push_back(drawing.draw(outline));
  return directions;
}

std::vector<std::int64_t> count_parameter_directions(const NormSite& site,
                                                     const NormParameters& norm,
                                                     const DeadSubspace& subspace,
                                                     const std::vector<DeadParameters>& claims,
                                                     const DirectionCounts& counts) {
  const Functionals functionals(norm, subspace);
  std::vector<std::int64_t> count(claims.size(), 0);
  for (const Outline& outline : outlines_of(site, functionals, claims, counts))
    ++count[outline.consumer];
  return count;
}

}  // namespace deadray
