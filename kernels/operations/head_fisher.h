#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/arithmetic/head_fisher_arithmetic.h"
#include "kernels/arithmetic/rows.h"
#include "kernels/cuda/cuda_context.h"

namespace deadray::kernels {

/// Variance of J_k = slope * u_k under the model's own softmax, for every token and each of K
/// directions u_k of logits before scale and cap:
///   out[t, k] = sum_i p_i J_ki^2 - (sum_i p_i J_ki)^2
///   p = softmax(logits_t),  J_ki = scale * cap'(scale (W h + bias)_i) * u_ki
/// It is the exact directional Fisher information at token t of the direction dW = u_k v^T,
/// db = -c u_k, less the factor (<v, h_t> - c)^2. Never holds [n_tokens, vocab]. FP64 sums over an
/// online softmax; logits are accumulated in FP64 here, in FP32 on the device for bf16 and FP32.
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
/// 262144, whatever the number of tokens and directions. With less, down to 256 entries of the
/// vocabulary at a time, tiles are smaller. See kernels/cuda/workspace.h.
std::size_t head_fisher_workspace(std::int64_t n_tokens, std::int64_t hidden_size,
                                  std::int64_t vocab, std::int64_t n_directions);

/// The same on the device; all pointers are device memory. cuBLAS computes the product of a tile:
/// bf16 and FP32 are accumulated in FP32, FP64 in FP64. The softmax of FP32 products is summed in
/// FP32 over runs of 16 entries of a thread and over a warp, then in FP64. Asynchronous on `stream`
/// and on a stream of the context; on one device the result repeats bit for bit.
/// @throws CudaError, also when the workspace is too small
void head_fisher(Context& context, const Rows& hidden, const Rows& weight,
                 const LogitArguments& logits, const double* directions, std::int64_t n_directions,
                 double* out, void* workspace, std::size_t workspace_bytes, Stream stream);

/// The same for products in memory. The workspace has no tiles, and its size is not checked.
std::size_t logit_fisher_workspace(std::int64_t vocab, std::int64_t n_directions);
void logit_fisher(const Rows& products, const LogitArguments& logits, const double* directions,
                  std::int64_t n_directions, double* out, void* workspace, Stream stream);

}  // namespace cuda
}  // namespace deadray::kernels
