#pragma once

#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "verify/directional/watched_weights.h"
#include "verify/flat/move.h"

// The weights of a model along a curve: where they are at t, and how they move there.
namespace deadray::flat {

/// The changes of a move by the tensors' names.
using ChangesByName = std::unordered_map<std::string, std::vector<const Change*>>;

/// Weights at theta(t).
class WeightsOnCurve final : public WeightsView {
 public:
  /// @param base, move  outlive this; the base is theta(0)
  WeightsOnCurve(const Weights& base, const Move& move, double t);
  void read(const TensorSpec& spec, std::int64_t block, at::Tensor out) const override;
  void read_rows(const TensorSpec& spec, const at::Tensor& ids, at::Tensor out) const override;

 private:
  ChangesByName changes_;
  double t_;
};

/// d theta/dt at t, as weights: the tangents of a pass along the curve.
class CurveVelocity final : public WeightsView {
 public:
  /// @param at_t   theta(t); outlives this, and so does the move
  CurveVelocity(const Weights& at_t, const Move& move, double t);
  bool moves(const TensorSpec& spec, std::int64_t block) const override;
  void read(const TensorSpec& spec, std::int64_t block, at::Tensor out) const override;
  void read_rows(const TensorSpec& spec, const at::Tensor& ids, at::Tensor out) const override;

 private:
  ChangesByName changes_;
  double t_;
};

/// Weights with the tangents of several directions beside them.
class WeightsAlong final : public WeightsView {
 public:
  using WeightsView::WeightsView;
  void add(std::unique_ptr<Weights> tangent) {
    views_.push_back(tangent.get());
    owned_.push_back(std::move(tangent));
  }
  std::span<const Weights* const> tangents() const override { return views_; }

 private:
  std::vector<std::unique_ptr<Weights>> owned_;
  std::vector<const Weights*> views_;
};

/// A control of a move: each change, or each place that is `alive`, becomes a random shift of the
/// size of its velocity at 0. @param name  of the random numbers
Move control_of(const Move& move, const Weights& weights, std::uint64_t seed,
                const std::string& name);

/// |W| over the size of the tangent at 0, both of all places that move: a unit of t in which a
/// straight line has moved by |W|. 1 for a group, whose tangents have that size.
double unit_of(const Move& move, const Weights& weights);

/// The numbers of a place in FP64 on the CPU, a copy.
at::Tensor load_place(const Weights& weights, const Place& place);

/// Normals by seed and name, FP64.
at::Tensor random_numbers(std::uint64_t seed, const std::string& name, at::IntArrayRef shape);

}  // namespace deadray::flat
