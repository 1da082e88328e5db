#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "host/formats/dtype.h"
#include "verify/device/backend.h"
#include "verify/ranks/communicator.h"

namespace deadray {

struct RowMoments;

/// What `verify --residual` computes: the smallest singular value of the residual stream X_l [N, d]
/// at every node l, from X_0 behind the embeddings to X_L, the final norm's input.
struct ResidualSpectrum {
  /// sigma_min(X_l - 1 mean^T); 0 where it is below the rounding of the FP64 Gram, and for N <= d.
  std::vector<double> centred;
  std::vector<double> uncentred;  ///< sigma_min(X_l), likewise
  /// Nodes that are a LayerNorm's output: their sigma_min is 0 by construction.
  std::vector<std::int64_t> excluded;
  /// The first node that is not excluded; absent where no ratio to it is defined.
  std::optional<std::int64_t> reference;
  /// Rank of X_reference: how many of its singular values are not rounding. Absent where they fall
  /// to rounding without a gap, and without a reference.
  std::optional<std::int64_t> rank;
  /// Where that is r < d, as with fewer words and positions than dimensions: sigma_min(X_l V), V
  /// [d, r] a basis of the row space of X_reference; NaN for excluded nodes. Else empty.
  std::vector<double> restricted;
  /// Uncentred sigma_min(X_l) / sigma_min(X_reference), of `restricted` where that is not empty;
  /// NaN for excluded nodes; empty without a reference.
  std::vector<double> ratio;
  /// The same over that of X_{l-1}; NaN for the first node, for an excluded one and
  /// the one after it, and where that divides by 0; empty without a reference.
  std::vector<double> steps;
  /// Whether every ratio of a node that is not excluded is >= 1; empty where that is undefined.
  std::optional<bool> preserved;
  std::string reason;  ///< one clause: why `preserved` is empty, or where the ratio is smallest
};

/// Takes the nodes of one forward pass in order. It keeps some numbers a node, never the stream. Of
/// several ranks, which hold different tokens of the stream, each decomposes a node in turn.
///
/// Directions in which X_reference is 0 have no ratio to it. Of the others sigma_min(X_l V) is what
/// sigma_min(X_l) is in a stream of full rank: the least that any direction still carries which
/// existed in the reference. (The r-th largest singular value of X_l is never smaller, but may
/// belong to directions that the blocks have added.)
class ResidualStream {
 public:
  /// @param ranks  outlive this
  explicit ResidualStream(Backend& backend = cpu_backend(), Communicator& ranks = one_process())
      : backend_(&backend), ranks_(&ranks) {}
  enum class Node { stream, layernorm_output };
  /// All that it keeps of the nodes so far; of several ranks each keeps a part of its own.
  struct State {
    std::int64_t tokens = 0;  ///< of this rank
    std::int64_t all_tokens = 0, hidden_size = 0;
    ResidualSpectrum spectrum{};
    at::Tensor row_space{};  ///< V, FP64; undefined where the reference has full rank
  };
  const State& state() const noexcept { return state_; }
  /// Goes on from there.
  void restore(State state);

  /// Forms the FP64 Gram in tiles of rows, then takes d^3/3 flops twice; at a reference of lower
  /// rank 9 d^3 more, once.
  /// Collective.
  /// @param x  [N, d], any float dtype, on the backend's device; N and d the same at every node
  void add(const at::Tensor& x, Node node = Node::stream);
  ResidualSpectrum finish();  ///< once; collective

 private:
  struct Sigma {
    double centred = 0, uncentred = 0, restricted = 0;
  };
  Sigma decompose(const RowMoments& moments, bool is_reference, Node node, DType made_in);
  void find_row_space(const at::Tensor& gram, DType made_in);
  void share_row_space(int owner);
  bool is_excluded(std::size_t node) const;
  std::size_t first_judged() const;  ///< the first node that is not excluded; or their number
  std::string why_no_ratio() const;  ///< empty where ratios are defined

  Backend* backend_;
  Communicator* ranks_;
  State state_;
};

}  // namespace deadray
