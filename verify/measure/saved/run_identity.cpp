#include "verify/measure/saved/run_identity.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>

#include "host/base/version.h"
#include "kernels/arithmetic/fnv1a.h"
#include "verify/base/dtypes.h"
#include "verify/base/machine.h"

namespace deadray {
namespace {

nlohmann::json weights_identity(const Model& model) {
  if (!model.checkpoint) return fmt::format("random, seed {}", model.seed);
  nlohmann::json files = nlohmann::json::array();
  for (const std::filesystem::path& file : model.checkpoint->files()) {
    const auto changed = std::filesystem::last_write_time(file).time_since_epoch();
    files.push_back({file.filename().string(), std::filesystem::file_size(file),
                     std::chrono::duration_cast<std::chrono::nanoseconds>(changed).count()});
  }
  return files;
}

nlohmann::json tokens_identity(const Calibration& calibration) {
  nlohmann::json tokens = {calibration.sequences(), calibration.length(), calibration.skip};
  for (const at::Tensor& values :
       {calibration.ids, calibration.pixels, calibration.attended, calibration.position_ids})
    tokens.push_back(checksum(values));
  for (const Picture& picture : calibration.pictures) tokens.push_back(checksum(picture.patches));
  return tokens;
}

}  // namespace

std::uint64_t checksum(const at::Tensor& values) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  if (!values.defined()) return hash;
  const at::Tensor dense = values.cpu().contiguous();
  const auto* bytes = static_cast<const char*>(dense.const_data_ptr());
  for (std::size_t at = 0; at < dense.nbytes(); at += sizeof hash) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes + at, std::min(sizeof word, dense.nbytes() - at));
    hash = (hash ^ word) * 0x100000001b3u;
    hash ^= hash >> 29;  // so that high bits reach low ones
  }
  return hash;
}

nlohmann::json run_identity(const Model& model, const Calibration& calibration,
                            const MeasurementOptions& options) {
  return {{"deadray", fmt::format("{} {}", version(), build_commit())},
          {"model", model.name},
          {"configuration", kernels::fnv1a(model.configuration)},
          {"weights", weights_identity(model)},
          {"tokens", tokens_identity(calibration)},
          {"--site", options.site},
          {"--method", to_string(options.probe.method)},
          {"--dtype", long_name(options.probe.dtype)},
          {"--seed", options.probe.seed},
          {"--tau", options.probe.predict.relative_tau},
          {"--residual", options.residual},
          {"--device", model.weights->backend().description()}};
}

}  // namespace deadray
