#include "verify/fisher/parameter_directions.h"

#include <fmt/format.h>

#include <cmath>

#include "host/architecture/norm_parameters.h"
#include "kernels/operations/random_normal.h"
#include "verify/base/tensors.h"

namespace deadray {

namespace {

using Kind = ParameterDirection::Kind;
using Family = DeadParameters::Family;

/// <r, h> = constant for every input where the norm fixes a direction, |r| = 1; else what would be
/// if it did.
struct Functional {
  at::Tensor r;  // [hidden_size]
  double constant = 0.0;
};

/// v* of a LayerNorm; e_i for each gamma_i = 0; of an RMSNorm 1/gamma, which is constant in none.
std::vector<Functional> functionals(const NormParameters& norm, const DeadSubspace& subspace) {
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
  const at::Tensor v = to_tensor(subspace.direction());
  return {{v, subspace.constant ? v.dot(beta).item<double>() : 0.0}};
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

class Drawing {
 public:
  Drawing(const NormSite& site, const std::vector<DeadParameters>& claims,
          const DirectionCounts& counts, std::uint64_t seed)
      : site_(site), claims_(claims), counts_(counts), seed_(seed) {}

  std::vector<ParameterDirection> draw(const NormParameters& norm, const DeadSubspace& subspace) {
    const std::vector<Functional> all = functionals(norm, subspace), free = without_constant(all),
                                  held = with_constant(all);
    bool shift_drawn = false;
    for (std::size_t i = 0; i < claims_.size() && !all.empty(); ++i) {
      const Family family = claims_[i].family;
      const bool shifts = family == Family::weight_and_beta &&
                          !shift_drawn;  // once for all consumers that it moves
      const bool bare = family == Family::weight || family == Family::weight_and_beta;
      for (std::int64_t k = 0; k < counts_.dead; ++k) {
        const auto nth = [k](const std::vector<Functional>& of) {
          return of[static_cast<std::size_t>(k) % of.size()];
        };
        if (shifts) add_shift(i, nth(held), k);
        if (!bare)
          add(i, nth(all), k);
        else if (!free.empty())
          add(i, nth(free), k);
      }
      const bool moves_alone =
          !bare || !free.empty();  // else what the shift showed is all there is
      for (std::int64_t k = 0; k < counts_.controls; ++k) {
        if (shifts) add_shifted_control(i, held[0], k);
        if (moves_alone) add_control(i, all[0], k);
      }
      shift_drawn = shift_drawn || shifts;
    }
    return std::move(directions_);
  }

 private:
  at::Tensor unit(std::size_t consumer, const char* what, std::int64_t k, std::int64_t n) const {
    const std::string stream =
        fmt::format("fisher/{}/{}/{}/{}", site_.name, claims_[consumer].consumer, what, k);
    const at::Tensor drawn = at::empty({n}, at::kFloat);
    kernels::random_normal(seed_, kernels::stream_of(stream), 0, n, 1.0F, drawn.data_ptr<float>());
    const at::Tensor wide = drawn.to(at::kDouble);
    return wide / wide.norm();
  }
  ConsumerMove move_of(std::size_t consumer) const {
    ConsumerMove move;
    move.consumer = site_.consumers[consumer].name;
    move.transposed = site_.consumers[consumer].transposed;
    return move;
  }
  ParameterDirection& push(std::size_t consumer, Kind kind, std::vector<ConsumerMove> moves) {
    return directions_.emplace_back(
        ParameterDirection{kind, claims_[consumer].consumer, std::move(moves), {}, {}});
  }

  void add(std::size_t consumer, const Functional& functional, std::int64_t k) {
    ConsumerMove move = move_of(consumer);
    move.u = unit(consumer, "u", k, site_.consumers[consumer].width);
    move.r = functional.r;
    const bool takes_bias = site_.consumers[consumer].has_bias && functional.constant != 0.0;
    move.s = takes_bias ? -functional.constant : 0.0;
    push(consumer, Kind::dead, {move});
    if (!takes_bias) return;
    move.s = 0.0;
    push(consumer, Kind::weight_only, {move});
  }

  void add_control(std::size_t consumer, const Functional& functional, std::int64_t k) {
    const bool has_bias = site_.consumers[consumer].has_bias;
    ConsumerMove move = move_of(consumer);
    move.u = unit(consumer, "control u", k, site_.consumers[consumer].width);
    const at::Tensor both = unit(consumer, "control r", k, site_.hidden_size + (has_bias ? 1 : 0)) *
                            std::hypot(1.0, has_bias ? functional.constant : 0.0);
    move.r = both.narrow(0, 0, site_.hidden_size).contiguous();
    move.s = has_bias ? both[site_.hidden_size].item<double>() : 0.0;
    push(consumer, Kind::random, {std::move(move)});
  }

  /// What beta + a leaves to its consumers: W a is to be taken off again, by the bias or, along r,
  /// by the weight.
  std::vector<ConsumerMove> moves_of_shift(const at::Tensor& a,
                                           const at::Tensor& r_of_weights) const {
    std::vector<ConsumerMove> moves;
    for (std::size_t j = 0; j < site_.consumers.size(); ++j) {
      ConsumerMove move = move_of(j);
      move.through = a;
      const bool has_bias = site_.consumers[j].has_bias;
      move.r = has_bias ? at::zeros_like(r_of_weights) : r_of_weights;
      move.s = has_bias ? -1.0 : 0.0;
      moves.push_back(std::move(move));
    }
    return moves;
  }

  void add_shift(std::size_t consumer, const Functional& functional, std::int64_t k) {
    at::Tensor a = unit(consumer, "shift", k, site_.hidden_size);
    double curvature = functional.r.dot(a).item<double>() / functional.constant;
    if (curvature < 0)
      a = -a, curvature = -curvature;  // so that no finite step meets 1 + curvature t = 0
    const std::vector<ConsumerMove> moves = moves_of_shift(a, functional.r / -functional.constant);
    ParameterDirection& dead = push(consumer, Kind::dead, moves);
    dead.norm = site_.name, dead.shift = a, dead.curvature = curvature;
    push(consumer, Kind::weight_only, moves).curvature = curvature;
  }

  void add_shifted_control(std::size_t consumer, const Functional& functional, std::int64_t k) {
    const at::Tensor a = unit(consumer, "shift", k, site_.hidden_size);
    const at::Tensor r = unit(consumer, "control r", k, site_.hidden_size) / functional.constant;
    ParameterDirection& control = push(consumer, Kind::random, moves_of_shift(a, r));
    control.norm = site_.name, control.shift = a;
  }

  const NormSite& site_;
  const std::vector<DeadParameters>& claims_;
  const DirectionCounts& counts_;
  std::uint64_t seed_;
  std::vector<ParameterDirection> directions_;
};

}  // namespace

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
  return Drawing(site, claims, counts, seed).draw(norm, subspace);
}

}  // namespace deadray
