#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace deadray {

/// Where the hub's tools keep what they download: $HF_HUB_CACHE, else $HF_HOME/hub, else
/// huggingface/hub below $XDG_CACHE_HOME or ~/.cache.
std::filesystem::path hub_cache();

/// A model in the cache, or what keeps it from being read.
struct CachedModel {
  std::filesystem::path
      folder;           ///< its snapshot: config.json and weights; empty when it cannot be read
  std::string commit;   ///< the snapshot's name
  std::string missing;  ///< "not in …", "model-00002-of-00003.safetensors of snapshot 1a2b… is
                        ///< missing"; empty when all is there
};

/// Looks for models--org--name/snapshots/<commit>, the commit being what refs/<revision> says, or
/// the revision itself, or where refs are gone the only snapshot, of several the newest. Files may
/// be links into blobs/ or, in a degraded cache, copies.
/// @param revision  branch, tag or commit; empty: main
CachedModel find_cached_model(const std::filesystem::path& cache, const std::string& hf_id,
                              const std::string& revision = {});

/// What a snapshot's place says of it: models--org--name/snapshots/<commit>.
struct HubSnapshot {
  std::string repository;  ///< "org/name", or "name" alone
  std::string commit;
};
/// @param model  a folder or a file in one, or a link to the folder; nullopt where that is no
/// snapshot
std::optional<HubSnapshot> hub_snapshot(const std::filesystem::path& model);

/// The command that downloads it.
std::string download_command(const std::string& hf_id, const std::string& revision = {});

}  // namespace deadray
