#include "verify/directional/output_keeper.h"

#include "host/base/stop_signals.h"

namespace deadray {

namespace {

class StreamKeeper final : public Observer {
 public:
  explicit StreamKeeper(std::int64_t first) : first_(first) {}
  void residual(std::int64_t node, const at::Tensor& x) override {
    throw_if_stopped();
    if (node >= first_) streams[node] = x.clone();
  }
  StreamsByNode streams;

 private:
  std::int64_t first_;
};

}  // namespace

KeptStreams keep_streams(const Model& model, const Calibration& calibration, at::ScalarType dtype,
                         std::int64_t first) {
  StreamKeeper keeper(first);
  ExecutorOptions options;
  options.dtype = dtype;
  Executor executor(model.architecture, *model.weights, options);
  executor.run(calibration, keeper);
  return {std::move(keeper.streams), executor.load_seconds(), executor.notes()};
}

void OutputKeeper::head_input(const Dual& tile) {
  throw_if_stopped();
  values_.push_back(tile.value);
  if (tile.tangents.defined()) tangents_.push_back(tile.tangents);
}

Dual OutputKeeper::output() const {
  return {at::cat(values_), tangents_.empty() ? at::Tensor() : at::cat(tangents_, 1)};
}

at::Tensor OutputKeeper::norm_rows() const { return rows_.empty() ? at::Tensor() : at::cat(rows_); }

}  // namespace deadray
