#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/architecture/architecture.h"
#include "host/architecture/norm_site.h"
#include "host/formats/checkpoint.h"
#include "host/formats/hub_cache.h"
#include "verify/device/backend.h"
#include "verify/weights/weights.h"

namespace deadray {

/// Where the numbers under measurement come from.
enum class Source { checkpoint, random, activations };
std::string_view to_string(Source source) noexcept;

/// A model ready to run: its description, its weights, its norms.
struct Model {
  std::string name;
  std::optional<HubSnapshot> hub;  ///< where its folder is a snapshot of the hub's cache
  Architecture architecture;
  std::optional<Checkpoint> checkpoint;  ///< absent for random initialisation
  std::unique_ptr<Weights> weights;
  std::vector<NormSite> sites;
  Source source = Source::checkpoint;
  std::uint64_t seed = 0;
  std::string configuration{};  ///< all of it, as JSON: tells models apart

  /// nullptr for random initialisation
  const Checkpoint* stored() const { return checkpoint ? &*checkpoint : nullptr; }
};

struct ModelOptions {
  bool random = false;  ///< draw the weights instead of reading them; config.json is enough then
  std::uint64_t seed = 0;
  CheckpointOptions checkpoint;
  Backend* backend = &cpu_backend();  ///< where the model is to run; outlives the model
};

/// @throws MalformedError, UnsupportedError as the readers do
std::unique_ptr<Model> prepare_model(const std::filesystem::path& path,
                                     const ModelOptions& options);
/// The same with a name and a configuration of its own.
/// @param weights  folder or file; not read where options.random is set
std::unique_ptr<Model> prepare_model(std::string name, const Config& config,
                                     const std::filesystem::path& weights,
                                     const ModelOptions& options);

}  // namespace deadray
