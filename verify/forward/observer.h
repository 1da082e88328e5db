#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string>

#include "verify/base/forward_mode.h"
#include "verify/base/norm_tile.h"

namespace deadray {

/// What watches a forward pass. Every call comes from the thread that called Executor::run. Of
/// sequences of text, norms() and head_input() show the rows that count (Calibration::counted());
/// what is said to show every token shows hidden and skipped ones too.
class Observer {
 public:
  virtual ~Observer() = default;
  /// The stream entering block `node`; node n_blocks is the final norm's input (in post-norm models
  /// the last block's output). x [N, d], every token.
  virtual void residual(std::int64_t /*node*/, const at::Tensor& /*x*/) {}
  /// Whether norms() is to show this site, by its name as in norm_sites().
  virtual bool wants(const std::string& /*site*/) { return false; }
  /// Allocates whatever norms() of the same tiles will need. Nothing may be counted here: if memory
  /// runs out, smaller tiles come instead of these.
  virtual void prepare(std::span<const NormTile> /*tiles*/) {}
  /// The norms that one tile of the stream has passed, in order of evaluation. Those that read the
  /// same rows, one right after the other, are shown one tensor (is_same). The tiles of a site
  /// arrive in order and are not kept. Override this or norm().
  virtual void norms(std::span<const NormTile> tiles) {
    for (const NormTile& tile : tiles) norm(tile.site, tile.input, tile.output);
  }
  /// Each of them, for who wants no more.
  virtual void norm(const std::string& /*site*/, const at::Tensor& /*input*/,
                    const at::Tensor& /*output*/) {}
  /// Whether whole_output() is to be called for this site.
  virtual bool wants_whole_output(const std::string& /*site*/) { return false; }
  /// One tile of a norm's output [n, d], every token, in order.
  virtual void whole_output(const std::string& /*site*/, const at::Tensor& /*output*/) {}
  /// All tokens have passed this site: nothing more will come for it.
  virtual void finished(const std::string& /*site*/) {}
  /// Whether head_input() is to be called.
  virtual bool wants_head_input() { return false; }
  /// One tile of what the head reads [n, d], in order of tokens, and its derivatives. A model
  /// without a head shows what it ends in.
  virtual void head_input(const Dual& /*tile*/) {}
  /// One tile of logits [n, vocabulary], every token, in order; only when ExecutorOptions::logits.
  virtual void logits(const at::Tensor& /*tile*/) {}
  /// After each block, for progress: done of total.
  virtual void progress(std::int64_t /*done*/, std::int64_t /*total*/) {}
};

}  // namespace deadray
