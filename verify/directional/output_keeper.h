#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "verify/forward/executor.h"
#include "verify/measure/measurement.h"

// What is kept of a pass: the streams from which later passes begin, and the output.
namespace deadray {

/// Residual streams [N, d] by the node they enter: block 0 … n_blocks - 1, n_blocks for what
/// follows the last.
using StreamsByNode = std::map<std::int64_t, at::Tensor>;

/// The streams of one pass, with its notes for the user.
struct KeptStreams {
  StreamsByNode streams;
  double load_seconds = 0;
  std::vector<std::string> notes;
};
/// Runs the model and keeps the streams from node `first` on. @throws Stopped
KeptStreams keep_streams(const Model& model, const Calibration& calibration, at::ScalarType dtype,
                         std::int64_t first);

/// Keeps what the head reads (without a head: the model's last hidden states) with its derivatives,
/// and the output of one norm; of both the rows that count.
class OutputKeeper final : public Observer {
 public:
  explicit OutputKeeper(std::string norm = {}) : norm_(std::move(norm)) {}
  bool wants(const std::string& site) override { return site == norm_; }
  void norm(const std::string&, const at::Tensor&, const at::Tensor& output) override {
    rows_.push_back(output);
  }
  bool wants_head_input() override { return true; }
  void head_input(const Dual& tile) override;

  Dual output() const;
  at::Tensor norm_rows() const;  ///< [n, d]; undefined where the norm was not evaluated

 private:
  std::string norm_;
  std::vector<at::Tensor> values_, tangents_, rows_;
};

}  // namespace deadray
