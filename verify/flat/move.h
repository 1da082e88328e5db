#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/architecture/layer_specs.h"
#include "verify/flat/generator.h"

// Directions of the census as data: curves through a model's parameters, as changes of named
// tensors. One mechanism serves every cause.
namespace deadray::flat {

/// Numbers first … first + count - 1; count -1: all from first on.
struct Range {
  std::int64_t first = 0, count = -1;
};

/// A part of a stored tensor, seen as a matrix.
struct Place {
  TensorSpec spec;
  std::int64_t block = -1;
  bool is_end = false;  ///< outside the blocks: behind them, not in front
  enum class View {
    matrix,      ///< [shape[0], all others]; a vector is one column
    transposed,  ///< stored the other way round
    rows,        ///< [all others, last]: tables and tokens
  } view = View::matrix;
  Range rows{}, columns{};
  double offset = 0.0;  ///< what the model adds to the stored numbers (gamma = stored + 1)

  /// That part of `stored`, a view of its memory.
  at::Tensor of(const at::Tensor& stored) const;
};

/// A matrix of normals by seed and name. It is drawn where it is needed: none is kept.
struct RandomShift {
  std::uint64_t seed = 0;
  std::string name;  ///< empty: there is none
  double deviation = 0.0;

  explicit operator bool() const { return !name.empty(); }
  /// Rows first … first + rows - 1 of a matrix with so many columns.
  at::Tensor draw(std::int64_t first, std::int64_t rows, std::int64_t columns) const;
};

/// How one part moves: M(t) = L(t) M R(t) + f(t) S. Either factors or a shift.
struct Change {
  Place place;
  Factor left{}, right{};
  at::Tensor shift{};      ///< S, or what expands to it; undefined: none
  double curvature = 0.0;  ///< f(t) = t/(1 + curvature t), not negative
  RandomShift random{};    ///< S, of a control
  at::Tensor across{};     ///< [columns]: S is shift [rows, 1] times this; it is never kept whole

  bool is_group() const { return left || right; }
};

/// A curve through the parameters, theta(0) where the model stands.
struct Move {
  std::vector<Change> changes;
  /// Where controls live; empty: in the places of `changes`. Where a whole place is flat nothing in
  /// it could be alive.
  std::vector<Place> alive{};

  bool is_group() const;
  /// t at which the parameters have moved by about `size` times themselves.
  double time_of(double size) const;
  /// The first block whose parameters move; -1: some in front of all blocks; n_blocks: what is
  /// behind them alone.
  std::int64_t entry(std::int64_t n_blocks) const;
};

/// M(t) in place of M. @param m  FP64, a view of the place
void apply(const Change& change, double t, const at::Tensor& m);
/// dM/dt at t. @param m  M(t)
at::Tensor velocity(const Change& change, double t, const at::Tensor& m);

}  // namespace deadray::flat
