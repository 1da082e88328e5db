#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace deadray {

enum class NormKind { layernorm, rmsnorm };

std::string_view to_string(NormKind kind) noexcept;

/// A linear map y = W h + b that reads a norm's output, W [width, hidden_size].
struct Consumer {
  std::string name;        ///< stem of its tensors, e.g. "h.0.attn.c_attn"
  std::int64_t width = 0;  ///< outputs m
  bool has_bias = false;
  /// Its weight is used elsewhere too (a head tied to the embedding): a change moves that use as
  /// well.
  bool tied = false;
  bool transposed = false;  ///< W is stored [hidden_size, width] (GPT-2's Conv1D)
};

/// One place in a model where a normalisation layer acts.
struct NormSite {
  std::string name;  ///< stem of its tensors, e.g. "h.0.ln_1"; unique in the model
  NormKind kind = NormKind::layernorm;
  std::int64_t hidden_size = 0;
  double eps = 0.0;
  std::string weight;  ///< tensor that stores gamma; empty: a norm without scale, gamma = 1
  /// gamma, and beta, is this row of its tensor [heads, hidden_size]; -1: all of it
  std::int64_t row = -1;
  std::string bias;            ///< tensor that stores beta; empty: none
  double weight_offset = 0.0;  ///< gamma = stored + offset (1 for LayerNorm1P and Gemma 1-3)
  std::int64_t block = -1;     ///< block index; -1 outside the blocks
  bool is_final = false;       ///< the norm whose output the head, or the user, reads
  /// Its output is the residual stream itself (post-LN, embedding norm): beta has other readers.
  bool feeds_residual = false;
  std::vector<Consumer> consumers;  ///< every linear map that reads it
};

/// What to call a site's gamma in a message: its tensor, and its row there.
std::string gamma_name(const NormSite& site);

}  // namespace deadray
