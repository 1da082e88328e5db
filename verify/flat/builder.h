#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/census/graph.h"
#include "verify/flat/move.h"
#include "verify/measure/model.h"

namespace deadray::flat {

/// Directions that one cause makes flat in one block: census::Finding, without its dimension.
struct Key {
  std::string_view cause, stack;
  std::int64_t block = -1;
};

/// A functional of a norm's output that is the same for every input: <r, h> = constant, |r| = 1.
struct Functional {
  at::Tensor r;  ///< [width] FP64
  double constant = 0.0;
};

/// Puts a move together: what the causes have in common. A random member is drawn by seed and name.
class Builder {
 public:
  /// @param model, graph  outlive this; the graph is the model's, with its states set
  Builder(const Model& model, const census::Graph& graph, Key key, std::uint64_t seed,
          std::int64_t number);

  const Model& model() const { return model_; }
  const census::Graph& graph() const { return graph_; }
  const Key& key() const { return key_; }
  /// The block of the key; null where it has none.
  const census::BlockUse* block() const;
  bool is_of_key(std::string_view stack, std::int64_t block) const {
    return stack == key_.stack && block == key_.block;
  }

  /// Whether the executor's output depends on a map that reads a norm: not on a pooler, nor on what
  /// stands behind the last norm of a model without a head.
  bool reaches_output(const LinearSpec& map) const;

  // --- random members ---
  at::Tensor normals(std::string_view what, at::IntArrayRef shape) const;
  at::Tensor unit(std::string_view what, std::int64_t n) const;
  /// Positive scales exp(t b_i), max |b_i| = 1.
  std::shared_ptr<const Generator> scales(std::string_view what, std::int64_t n) const;
  /// Any invertible matrix, |B| = 1.
  std::shared_ptr<const Generator> invertible(std::string_view what, std::int64_t n) const;
  static std::shared_ptr<const Generator> inverse(const Generator& generator);

  // --- places ---
  /// The parts of a map's weight, all rows, these columns.
  std::vector<Place> inputs(const LinearSpec& map, std::int64_t block, Range columns = {}) const;
  /// The parts that hold these outputs, of the weight and, where there is one, of the bias.
  struct Outputs {
    Place weight;
    std::optional<Place> bias;
    std::int64_t first, count;  ///< of all outputs of the map
  };
  std::vector<Outputs> outputs(const LinearSpec& map, std::int64_t block, Range rows = {}) const;
  /// gamma or beta, one column.
  Place scale_of(const NormSpec& norm, std::int64_t block) const;
  Place shift_of(const NormSpec& norm, std::int64_t block) const;
  static Place table(const TensorSpec& spec, Range rows = {});

  // --- changes ---
  void multiply_left(Place place, Factor factor);
  void multiply_right(Place place, Factor factor);
  void shift(Place place, at::Tensor by, double curvature = 0.0);
  /// By u [rows] times r [columns].
  void shift_by_product(Place place, const at::Tensor& u, at::Tensor r, double curvature = 0.0);
  /// Outputs of a map by a factor from the left: its weight's rows and its bias.
  void multiply_outputs(const LinearSpec& map, std::int64_t block, const Factor& factor,
                        Range rows = {});
  void multiply_inputs(const LinearSpec& map, std::int64_t block, const Factor& factor,
                       Range columns = {});

  /// Functionals that are constant; those of the census graph's states.
  std::vector<Functional> functionals(const census::NormUse& norm) const;
  /// Lets a map write `a` [rows] for every token, by its bias or through a constant of what it
  /// reads.
  /// @param moved  how much that constant grows with t
  /// @return whether it can
  bool write_constant(const census::MapUse& map, const LinearSpec& spec, std::int64_t block,
                      const at::Tensor& a, Range rows = {}, double moved = 0.0);
  /// Lets a map take back that its input moves by `a`, each of its copies.
  bool take_back(const census::MapUse& map, const at::Tensor& a,
                 const census::NormUse* moved = nullptr);
  /// W a.
  at::Tensor image(const LinearSpec& map, std::int64_t block, const at::Tensor& a) const;
  /// The maps that a use stands for: itself, or its experts. The tied decoder is the token table.
  std::vector<LinearSpec> copies(const census::MapUse& map) const;

  /// The move, where the cause could be built here.
  std::optional<Move> take();
  void keep_alive(Place place) { move_.alive.push_back(std::move(place)); }
  /// 1/lambda [outputs] of the layer scale behind a sublayer's writer: what its map must write for
  /// 1 in the stream. Undefined: 1. Gives up where some lambda is 0.
  at::Tensor inverse_layer_scale(const census::Event& event);
  /// Says that it cannot be built.
  void give_up() { given_up_ = true; }

 private:
  bool is_end(const LinearSpec& map, std::int64_t block) const;

  const Model& model_;
  const census::Graph& graph_;
  Key key_;
  std::uint64_t seed_;
  std::string name_;
  Move move_;
  bool given_up_ = false;
};

}  // namespace deadray::flat
