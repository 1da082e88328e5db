#include "host/formats/hub_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "host/base/error.h"
#include "host/base/input_file.h"
#include "host/formats/shards/weight_map.h"

namespace deadray {
namespace {

namespace fs = std::filesystem;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

/// A file, or a link to one: what an interrupted download leaves is a link to nothing.
bool is_there(const fs::path& file) {
  std::error_code ignored;
  return fs::is_regular_file(file, ignored);
}

bool is_commit(const std::string& text) {
  return !text.empty() && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

/// What refs/<revision> holds, without the line end that some writers add; "" when there is none.
std::string read_ref(const fs::path& file) {
  if (!is_there(file)) return {};
  std::string commit = read_text_file(file, 1000);
  commit.erase(
      std::find_if(commit.begin(), commit.end(), [](unsigned char c) { return std::isspace(c); }),
      commit.end());
  return is_commit(commit) ? commit : "";
}

/// The snapshot that was touched last.
std::optional<fs::path> newest_snapshot(const fs::path& snapshots) {
  std::optional<fs::path> newest;
  fs::file_time_type time;
  std::error_code error;
  for (fs::directory_iterator entry(snapshots, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code ignored;
    const auto touched = entry->last_write_time(ignored);
    if (entry->is_directory(ignored) && (!newest || touched > time))
      newest = entry->path(), time = touched;
  }
  return newest;
}

fs::path find_snapshot(const fs::path& model, const std::string& revision) {
  std::error_code ignored;
  const std::string commit = read_ref(model / "refs" / (revision.empty() ? "main" : revision));
  if (!commit.empty() && fs::is_directory(model / "snapshots" / commit, ignored))
    return model / "snapshots" / commit;
  if (!revision.empty())
    return is_commit(revision) && fs::is_directory(model / "snapshots" / revision, ignored)
               ? model / "snapshots" / revision
               : "";
  return commit.empty() ? newest_snapshot(model / "snapshots").value_or(fs::path()) : fs::path();
}

/// The first file that an index names and that is not there; "" when all are.
std::string missing_shard(const fs::path& index) {
  const WeightMap map = read_weight_map(read_text_file(index), index);
  for (const auto& [shard, number] : map.shards)
    if (!is_there(index.parent_path() / shard)) return shard;
  return {};
}

/// The first file that a snapshot names and does not hold; "" when all are there.
std::string missing_file(const fs::path& snapshot) {
  if (!is_there(snapshot / "config.json")) return "config.json";
  if (is_there(snapshot / "model.safetensors")) return {};
  for (const char* name : {"model.safetensors.index.json", "pytorch_model.bin.index.json"})
    if (const fs::path index = snapshot / name; is_there(index)) return missing_shard(index);
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(snapshot, ignored)) {
    const auto extension = entry.path().extension();
    if (extension == ".safetensors" || extension == ".bin" || extension == ".gguf") {
      if (is_there(entry.path())) return {};
      return entry.path().filename().string();
    }
  }
  return "model.safetensors";
}

/// The folder of a model, links followed. Of a file the folder alone is followed: the file itself
/// is a link into blobs/.
fs::path real_folder(const fs::path& model, std::error_code& error) {
  return fs::canonical(
      fs::is_directory(model, error) ? model : fs::absolute(model, error).parent_path(), error);
}

/// The name of the ref that holds the commit; "" where there is none.
std::string ref_of(const fs::path& snapshot) {
  const std::string commit = snapshot.filename().string();
  const fs::path refs = snapshot.parent_path().parent_path() / "refs";
  std::set<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(refs, error), end; !error && entry != end;
       entry.increment(error))
    try {
      if (read_ref(entry->path()) == commit) names.insert(entry->path().filename().string());
    } catch (const Error&) {  // only a name is lost
    }
  if (names.size() > 1) names.erase("main");
  return names.empty() ? "" : *names.begin();
}

}  // namespace

fs::path hub_cache() {
  // The second is the first one's old name.
  for (const char* variable : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"})
    if (std::string folder = environment(variable); !folder.empty()) return folder;
  if (const std::string home = environment("HF_HOME"); !home.empty()) return fs::path(home) / "hub";
  if (const std::string cache = environment("XDG_CACHE_HOME"); !cache.empty())
    return fs::path(cache) / "huggingface/hub";
  return fs::path(environment("HOME")) / ".cache/huggingface/hub";
}

CachedModel find_cached_model(const fs::path& cache, const std::string& hf_id,
                              const std::string& revision) {
  std::string name = hf_id;
  if (const std::size_t slash = name.find('/'); slash != std::string::npos)
    name.replace(slash, 1, "--");
  const fs::path model = cache / ("models--" + name);
  std::error_code ignored;
  if (!fs::is_directory(model, ignored)) return {{}, {}, fmt::format("not in {}", cache.string())};
  const fs::path snapshot = find_snapshot(model, revision);
  if (snapshot.empty()) {
    std::string none = fmt::format("{}: no snapshot of revision {}", model.string(),
                                   revision.empty() ? "main" : revision);
    return {{}, {}, std::move(none)};
  }
  const std::string commit = snapshot.filename().string();
  if (const std::string file = missing_file(snapshot); !file.empty()) {
    std::string incomplete =
        fmt::format("{}: {} is missing (interrupted download?)", snapshot.string(), file);
    return {{}, commit, std::move(incomplete)};
  }
  return {snapshot, commit, {}};
}

std::optional<HubSnapshot> hub_snapshot(const fs::path& model) {
  std::error_code error;
  const fs::path folder = real_folder(model, error);
  if (error || folder.parent_path().filename() != "snapshots" ||
      !is_commit(folder.filename().string()))
    return std::nullopt;
  constexpr std::string_view kPrefix = "models--";
  std::string repository = folder.parent_path().parent_path().filename().string();
  if (!repository.starts_with(kPrefix) || repository.size() == kPrefix.size()) return std::nullopt;
  repository.erase(0, kPrefix.size());
  if (const std::size_t dashes = repository.find("--"); dashes != repository.npos)
    repository.replace(dashes, 2, "/");
  return HubSnapshot{std::move(repository), folder.filename().string(), ref_of(folder)};
}

std::optional<std::string> snapshot_revision(const fs::path& model) {
  const auto snapshot = hub_snapshot(model);
  return snapshot && !snapshot->revision.empty() ? std::optional(snapshot->revision) : std::nullopt;
}

std::string download_command(const std::string& hf_id, const std::string& revision) {
  return fmt::format("hf download {}{}", hf_id, revision.empty() ? "" : " --revision " + revision);
}

}  // namespace deadray
