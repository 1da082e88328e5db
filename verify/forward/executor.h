#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "host/architecture/architecture.h"
#include "verify/calibration/calibration.h"
#include "verify/layers/block.h"
#include "verify/layers/forward_mode.h"
#include "verify/layers/weights.h"

namespace deadray {

/// What watches a forward pass. Every call comes from the thread that called Executor::run.
class Observer {
 public:
  virtual ~Observer() = default;
  /// The stream entering block `node`; node n_blocks is the final norm's input (in post-norm models
  /// the last block's output). x [N, d].
  virtual void residual(std::int64_t /*node*/, const at::Tensor& /*x*/) {}
  /// Whether norm() is to be called for this site, by its name as in norm_sites().
  virtual bool wants(const std::string& /*site*/) { return false; }
  /// The same tile will come to norm(), unless memory runs out meanwhile: then smaller ones will.
  /// Nothing may be counted here; whatever norm() needs is to be taken.
  virtual void prepare(const std::string& /*site*/, const at::Tensor& /*input*/,
                       const at::Tensor& /*output*/) {}
  /// One tile of a norm: input and output [n, d] in the model's dtype. The tiles of a site arrive
  /// in order and are not kept.
  virtual void norm(const std::string& /*site*/, const at::Tensor& /*input*/,
                    const at::Tensor& /*output*/) {}
  /// All tokens have passed this site: nothing more will come for it.
  virtual void finished(const std::string& /*site*/) {}
  /// Whether head_input() is to be called.
  virtual bool wants_head_input() { return false; }
  /// One tile of what the head reads [n, d], in order of tokens, and its derivatives; of a model
  /// without a head what it ends in.
  virtual void head_input(const Dual& /*tile*/) {}
  /// One tile of logits [n, vocabulary], in order of tokens; only when ExecutorOptions::logits.
  virtual void logits(const at::Tensor& /*tile*/) {}
  /// After each block, for progress: done of total.
  virtual void progress(std::int64_t /*done*/, std::int64_t /*total*/) {}
};

struct ExecutorOptions {
  at::ScalarType dtype = at::kFloat;
  std::int64_t tile_tokens =
      1024;  ///< tokens that pass a block at once, rounded to whole sequences (at least one)
  bool logits = false;
  std::int64_t directions = 0;  ///< K > 0: whatever hooks lift() along K directions is carried to
                                ///< the output, in memory K times the stream
};

/// Where a run begins: the stream [N, d] that enters a block, as Observer::residual() saw it;
/// n_blocks: what follows the last one.
struct Start {
  std::int64_t block = 0;
  at::Tensor stream{};  ///< undefined: what the calibration gives, block 0
};

/// Tokens that pass a block of this stack at once: more where experts share them out, so that each
/// expert's product stays large.
std::int64_t tokens_of_tile(const Stack& stack, const ExecutorOptions& options);

/// Runs a transformer layer by layer on its weights' backend: all tokens pass block l before block
/// l+1. So one block of weights, on a device the next one too, and the residual stream [N, d] are
/// all that is in memory, whatever the model's depth. Where the device's memory is too short, the
/// next block waits, then tiles are halved.
class Executor {
 public:
  Executor(const Architecture& architecture, const Weights& weights, ExecutorOptions options);
  /// @throws ResourceError with the sizes when a block, or a tile of one sequence, does not fit the
  /// device
  void run(const Calibration& calibration, Observer& observer, const Start& start = {});
  double load_seconds() const noexcept {
    return load_seconds_;
  }  ///< of the last run: waiting for weights
  const std::vector<std::string>& notes() const noexcept {
    return notes_;
  }  ///< what the user should know of the last run

 private:
  struct PendingNorm {
    const std::string* site;
    at::Tensor input, output;
  };
  /// A tile of the stream, and its first sequence, to what replaces it; undefined: nothing does. It
  /// may ask for memory, but count nothing.
  using Step = std::function<at::Tensor(const at::Tensor&, std::int64_t first)>;
  void for_each_tile(const Step& step);
  Dual carry(const Step& step, const at::Tensor& x, std::int64_t first);
  void keep(const Dual& tile, std::int64_t first);
  Dual rows(const at::Tensor& x) const;
  bool carries_derivatives() const { return options_.directions > 0; }
  bool pass(const std::function<void()>& step);
  void make_room(std::int64_t sequences);
  at::Tensor apply_norm(const Norm& norm, const at::Tensor& x);
  void apply_norm_to_stream(const std::optional<NormSpec>& spec);
  void embed(const Calibration& calibration);
  void embed_tokens(const at::Tensor& ids);
  void place_pictures(const Calibration& calibration);
  std::unique_ptr<Block> try_load(const Stack& stack, std::int64_t block) const;
  std::unique_ptr<Block> load_block(const Stack& stack, std::int64_t block) const;
  void run_blocks(std::int64_t first = 0);
  void finish();
  bool predictor_is_wanted() const;
  void run_predictor(const at::Tensor& coordinates);
  void set_places(const at::Tensor& coordinates, const at::Tensor& groups = {});
  void report_residual(std::int64_t node);

  const Architecture& architecture_;
  const Stack* stack_ = nullptr;  // the one whose blocks run
  const Weights& weights_;
  ExecutorOptions options_;
  Observer* observer_ = nullptr;
  at::Tensor stream_;                // [sequences, length, d]
  at::Tensor tangents_;              // [K, sequences, length, d]; undefined: all zero
  std::int64_t tile_sequences_ = 1;  // whole ones that pass at once
  bool reads_ahead_ = false;
  std::vector<PendingNorm> pending_norms_;
  at::Tensor pending_logits_;
  Dual pending_output_;
  std::vector<Places> places_;  // of each kind of block
  double load_seconds_ = 0.0;
  std::vector<std::string> notes_;
  std::future<std::unique_ptr<Block>> ahead_;  // the next block, loaded by a second thread; last,
                                               // so that it ends before what it uses
};

}  // namespace deadray
