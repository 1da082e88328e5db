#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/arithmetic/rows.h"
#include "kernels/cuda/cuda_context.h"

namespace deadray::kernels {

/// What follows the head's product: logits = cap(scale * (W h + bias)), cap(z) = soft_cap * tanh(z
/// / soft_cap) where soft_cap > 0; scale > 0. A bias of -inf masks its entry, with a cap too: p =
/// 0. A token all of whose entries are masked has variance 0.
struct LogitArguments {
  const double* bias = nullptr;  ///< [vocab] FP64 in the rows' memory, or null
  double scale = 1.0, soft_cap = 0.0;
};

/// Variance of J_k = slope * u_k under the model's own softmax, for every token and each of K
/// directions u_k of logits before scale and cap:
///   out[t, k] = sum_i p_i J_ki^2 - (sum_i p_i J_ki)^2,  p = softmax(logits_t),  J_ki = scale *
///   cap'(scale (W h + bias)_i) * u_ki.
/// It is the exact directional Fisher information at token t of the direction dW = u_k v^T, db = -c
/// u_k, less the factor (<v, h_t> - c)^2. Never holds [n_tokens, vocab]. FP64 sums over an online
/// softmax; logits are accumulated in FP64 here, in FP32 on the device for bf16 and FP32.
/// @param hidden      [n_tokens, hidden_size], of the same type as the weight
/// @param weight      [vocab, hidden_size]
/// @param directions  [n_directions, vocab] FP64
/// @param out         [n_tokens, n_directions] FP64
void head_fisher(const Rows& hidden, const Rows& weight, const LogitArguments& logits,
                 const double* directions, std::int64_t n_directions, double* out);

/// The same from products W h already in memory: products [n_tokens, vocab] (hidden_size of Rows is
/// the vocabulary's size here).
void logit_fisher(const Rows& products, const LogitArguments& logits, const double* directions,
                  std::int64_t n_directions, double* out);

namespace cuda {

/// Bytes of device memory that one call needs while it runs: at most 192 MiB for vocabularies up to
/// 262144, whatever the number of tokens and directions; ask once, use again. With less, down to
/// 256 entries of the vocabulary at a time, tiles are smaller.
std::size_t head_fisher_workspace(std::int64_t n_tokens, std::int64_t hidden_size,
                                  std::int64_t vocab, std::int64_t n_directions);

/// The same on the device; all pointers are device memory. The product of a tile by cuBLAS, bf16
/// and FP32 with FP32 accumulation, FP64 in FP64; the softmax of FP32 products in FP32 over runs of
/// 16 entries of a thread and over a warp, then in FP64. Asynchronous on `stream`, on a stream of
/// the context too; on one device the result repeats bit for bit. @throws CudaError, also when the
/// workspace is too small
void head_fisher(Context& context, const Rows& hidden, const Rows& weight,
                 const LogitArguments& logits, const double* directions, std::int64_t n_directions,
                 double* out, void* workspace, std::size_t workspace_bytes, Stream stream);
std::size_t logit_fisher_workspace(std::int64_t vocab, std::int64_t n_directions);
void logit_fisher(const Rows& products, const LogitArguments& logits, const double* directions,
                  std::int64_t n_directions, double* out, void* workspace, Stream stream);

}  // namespace cuda
}  // namespace deadray::kernels
