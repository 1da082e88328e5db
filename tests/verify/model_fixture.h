#pragma once

#include <ATen/ATen.h>

#include <filesystem>
#include <string>
#include <vector>

#include "host/checkpoint.h"
#include "verify/dtypes.h"
#include "verify/measurement.h"

namespace deadray::test {

inline const std::filesystem::path kModels = std::filesystem::path(DEADRAY_FIXTURES) / "models";

/// A tensor of a fixture file, in its own dtype.
inline at::Tensor read_tensor(const Checkpoint& file, const std::string& name) {
  const TensorInfo& info = file.at(name);
  at::Tensor values = at::empty(info.shape, info.dtype == DType::i64 ? at::kLong : scalar_type(info.dtype));
  file.read(info, values.data_ptr());
  return values;
}

/// Largest difference, relative to the reference's largest magnitude.
inline double relative_error(const at::Tensor& got, const at::Tensor& want) {
  return ((got.to(at::kDouble) - want.to(at::kDouble)).abs().max() / want.to(at::kDouble).abs().max()).item<double>();
}

/// Everything that a forward pass shows.
class Recorder final : public Observer {
 public:
  explicit Recorder(std::string final_site) : final_site_(std::move(final_site)) {}
  bool wants(const std::string& site) override { return site == final_site_; }
  void residual(std::int64_t, const at::Tensor& x) override { residuals.push_back(x.clone()); }
  void norm(const std::string&, const at::Tensor&, const at::Tensor& output) override { final_tiles_.push_back(output.clone()); }
  void logits(const at::Tensor& tile) override { logit_tiles_.push_back(tile.clone()); }

  at::Tensor final_output() const { return at::cat(final_tiles_); }
  at::Tensor all_logits() const { return logit_tiles_.empty() ? at::Tensor() : at::cat(logit_tiles_); }
  std::vector<at::Tensor> residuals;

 private:
  std::string final_site_;
  std::vector<at::Tensor> final_tiles_, logit_tiles_;
};

inline std::string final_site(const Model& model) {
  for (const NormSite& site : model.sites)
    if (site.is_final) return site.name;
  return {};
}

}  // namespace deadray::test
