#pragma once

#include <cstdint>

#include "kernels/arithmetic/head_fisher_arithmetic.h"
#include "kernels/cuda/cuda_operation.cuh"
#include "kernels/cuda/workspace.h"

/// Some directions at work: head_fisher() and logit_fisher() hand them products W h piece by piece.
/// Real is the type in which products become softmax weights: FP64 for FP64 products, else FP32.
namespace deadray::kernels::cuda {

/// Directions of one pass over the logits.
constexpr std::int64_t kGroup = 32;
/// One entry of some directions, as the fold reads it; see softmax_fold.cuh.
template <typename Real>
struct DirectionEntry;

/// What stays on the device for up to kGroup directions that are at work on a tile of tokens.
template <typename Real>
struct DirectionMemory {
  double2* sums;
  DirectionFrame* frames;
  DirectionEntry<Real>* entries;
  SoftmaxMoments* moments;

  DirectionMemory(std::int64_t n_directions, std::int64_t vocab, WorkspacePieces& pieces);
};

/// Blocks that share a token, each with moments of its own, for products of n_columns entries of
/// the vocabulary. At most kMaxSlices, and no more than there is work for.
template <typename Real>
std::int64_t slices_of(std::int64_t n_tokens, std::int64_t n_columns);

/// Up to kGroup directions at work on a stream.
template <typename Real>
class DirectionGroup {
 public:
  /// @param directions  [n_directions, vocab] on the device
  DirectionGroup(const Operation& operation, const LogitArguments& logits, std::int64_t vocab,
                 const double* directions, std::int64_t n_directions,
                 const DirectionMemory<Real>& memory, Stream stream);

  /// Takes in the products of n_columns entries from first_column on; 0 begins anew, with new
  /// tokens. The first piece is the widest.
  /// @param products  [n_tokens, n_columns], rows row_stride apart
  template <typename T>
  void fold(const T* products, std::int64_t row_stride, std::int64_t n_tokens,
            std::int64_t first_column, std::int64_t n_columns, std::int64_t n_slices) const;

  /// Writes what the entries taken in so far give.
  /// @param out  [n_tokens, n_directions], rows out_stride apart
  void finish(std::int64_t n_tokens, std::int64_t n_slices, double* out,
              std::int64_t out_stride) const;

 private:
  const Operation& operation_;
  const LogitArguments& logits_;
  std::int64_t vocab_, n_directions_, n_chunks_;
  DirectionMemory<Real> memory_;
  Stream stream_;
};

}  // namespace deadray::kernels::cuda
