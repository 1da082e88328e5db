#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace deadray {

/// Where the hub's tools keep what they download: $HF_HUB_CACHE, else $HF_HOME/hub, else
/// huggingface/hub below $XDG_CACHE_HOME or ~/.cache.
std::filesystem::path hub_cache();

/// A model in the cache, or what keeps it from being read.
struct CachedModel {
  /// The snapshot, which holds config.json and weights; empty when it cannot be read.
  std::filesystem::path folder;
  std::string commit;  ///< the snapshot's name
  /// "not in /cache", "/cache/…: model-00002-of-00003.safetensors is missing …"; empty when all is
  /// there.
  std::string missing;
};

/// Looks for models--org--name/snapshots/<commit>. The commit is what refs/<revision> says, or the
/// revision itself, or where refs are gone the newest snapshot. Files may be links into blobs/ or,
/// in a degraded cache, copies.
/// @param revision  branch, tag or commit; empty: main
CachedModel find_cached_model(const std::filesystem::path& cache, const std::string& hf_id,
                              const std::string& revision = {});

/// What the network was asked for.
struct HubTraffic {
  std::uint64_t bytes = 0, requests = 0;
  std::uint64_t round_trips = 0;  ///< requests that had to wait for one another
  double seconds = 0;
};

/// Where a model comes from.
struct HubSnapshot {
  std::string repository{};  ///< "org/name", or "name" alone; empty: a URL
  std::string commit{};
  std::string revision{};  ///< branch or tag; empty: unknown
  std::string url{};       ///< of a file of weights; empty: none
  std::string endpoint{};  ///< where it was fetched from; empty: nowhere, it was here
  std::optional<HubTraffic> traffic{};
};
/// What the path of a snapshot says of it, models--org--name/snapshots/<commit>, and the refs
/// beside it.
/// @param model  a folder, a file in one, or a link to the folder
/// @return nullopt where that is no snapshot
std::optional<HubSnapshot> hub_snapshot(const std::filesystem::path& model);
/// The branch or tag whose refs/<revision> holds a snapshot's commit: the first by name that is not
/// main, else main.
/// @return nullopt where no ref names it, and where `model` is no snapshot
std::optional<std::string> snapshot_revision(const std::filesystem::path& model);

/// The command that downloads it.
std::string download_command(const std::string& hf_id, const std::string& revision = {});

}  // namespace deadray
