#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "host/formats/checkpoint.h"
#include "verify/base/dtypes.h"
#include "verify/calibration/tokens.h"
#include "verify/forward/executor.h"
#include "verify/measure/measurement.h"

namespace deadray::test {

inline const std::filesystem::path kModels = std::filesystem::path(DEADRAY_FIXTURES) / "models";

/// A tensor of a fixture file, in its own dtype.
inline at::Tensor read_tensor(const Checkpoint& file, const std::string& name) {
  const TensorInfo& info = file.at(name);
  at::Tensor values =
      at::empty(info.shape, info.dtype == DType::i64 ? at::kLong : scalar_type(info.dtype));
  file.read(info, values.data_ptr());
  return values;
}

/// What the model of a reference file was run on.
inline Calibration calibration_of(const Model& model, const Checkpoint& reference) {
  return read_tokens(reference.path(), model.architecture);
}

/// Largest difference, relative to the reference's largest magnitude.
inline double relative_error(const at::Tensor& got, const at::Tensor& want) {
  return ((got.to(at::kDouble) - want.to(at::kDouble)).abs().max() /
          want.to(at::kDouble).abs().max())
      .item<double>();
}

/// The last norm of each stack: the final norm, and the predictor's where there is one.
inline std::vector<std::string> last_norms(const Model& model) {
  std::vector<std::string> names;
  for (const NormSite& site : model.sites)
    if (site.is_final || (model.architecture.predictor && &site == &model.sites.back()))
      names.push_back(site.name);
  return names;
}

/// Everything that a forward pass shows.
class Recorder final : public Observer {
 public:
  explicit Recorder(std::vector<std::string> sites) : sites_(std::move(sites)) {}
  bool wants(const std::string& site) override {
    return std::find(sites_.begin(), sites_.end(), site) != sites_.end();
  }
  void residual(std::int64_t, const at::Tensor& x) override { residuals.push_back(x.clone()); }
  void norm(const std::string& site, const at::Tensor&, const at::Tensor& output) override {
    tiles_[site].push_back(output.clone());
  }
  void logits(const at::Tensor& tile) override { logit_tiles_.push_back(tile.clone()); }

  at::Tensor output(const std::string& site) const { return at::cat(tiles_.at(site)); }
  at::Tensor final_output() const { return output(sites_.front()); }
  at::Tensor all_logits() const {
    return logit_tiles_.empty() ? at::Tensor() : at::cat(logit_tiles_);
  }
  std::vector<at::Tensor> residuals;

 private:
  std::vector<std::string> sites_;
  std::map<std::string, std::vector<at::Tensor>> tiles_;
  std::vector<at::Tensor> logit_tiles_;
};

}  // namespace deadray::test
