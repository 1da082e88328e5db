#include "host/remote/repository_fetch.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/base/input_file.h"
#include "host/base/json_text.h"
#include "host/formats/file_kind.h"
#include "host/formats/folder/folder_listing.h"
#include "host/formats/folder/model_folder.h"
#include "host/formats/hub_cache.h"
#include "host/formats/shard_index.h"
#include "host/formats/shards/weight_map.h"
#include "host/remote/url.h"
#include "host/remote/wanted_bytes.h"

namespace deadray {
namespace {

namespace fs = std::filesystem;

/// Asked for before the hub has said which files there are.
constexpr const char* kUsual[] = {"config.json", "model.safetensors.index.json",
                                  "pytorch_model.bin.index.json"};
constexpr std::uint64_t kLongestSmall = 100'000'000;  // as read_text_file() takes

/// Read whole: what tells which weights there are, and what kind of model.
bool is_small(const std::string& file) {
  return file == "config.json" || file == "adapter_config.json" || is_index_name(file);
}

/// Then a census is one of every model of this configuration.
bool holds_configuration_alone(const fs::path& folder) {
  const FolderListing listing = list_folder(folder);
  return listing.adapters.empty() &&
         std::all_of(listing.formats.begin(), listing.formats.end(),
                     [](const FormatListing& format) { return format.empty(); });
}

bool is_at_top(const std::string& file) { return file.find('/') == file.npos; }

}  // namespace

RepositoryFetch::RepositoryFetch(HttpClient& client, ModelName name, Purpose purpose,
                                 const fs::path& cache, fs::path catalogue)
    : client_(client),
      name_(std::move(name)),
      cache_(cache, name_.repository),
      purpose_(purpose),
      catalogue_(std::move(catalogue)) {
  result_.name = name_;
}

AskedFor RepositoryFetch::asked_for(const std::string& file, const std::string& revision) const {
  const HubSettings& settings = client_.settings();
  return {shown_endpoint(settings), name_.repository, revision, file, !settings.token.empty()};
}

void RepositoryFetch::start() {
  if (client_.settings().offline) return take_from_cache();
  result_.from_network = true;
  const bool is_known = cache_.commit_of(name_.revision).has_value();
  ++pending_;
  ask_description(client_, name_, [this](RepositoryDescription description, std::size_t depth) {
    description_ = std::move(description);
    depth_ = std::max(depth_, depth);
    if (--pending_ == 0) proceed();
  });
  if (is_known) return;  // as a rule nothing has changed, and nothing else is asked for
  for (const char* file : kUsual) ask_small(file, name_.revision, 0);
}

void RepositoryFetch::take_from_cache() {
  const auto commit = cache_.commit_of(name_.revision);
  if (!commit)
    throw NetworkError(
        fmt::format("{}: offline (HF_HUB_OFFLINE is set), and revision {} is not in cache at {} "
                    "nor at {}: unset it, or download the model before",
                    name_.repository, in_quotes(name_.revision), cache_.folder().string(),
                    hub_cache().string()));
  result_.commit = *commit;
  result_.folder = cache_.snapshot(*commit);
  fetch_weights();
}

void RepositoryFetch::ask_small(const std::string& file, const std::string& revision,
                                std::size_t depth) {
  ++pending_;
  asked_.insert(file);
  HttpRequest request;
  request.url = resolve_url(client_.settings(), name_, revision, file);
  request.what = fmt::format("{}: {}", name_.repository, file);
  request.most = kLongestSmall;
  request.depth = depth + 1;
  client_.send(std::move(request), [this, file, revision](HttpResponse response) {
    depth_ = std::max(depth_, response.depth);
    take_small(file, revision, std::move(response));
    if (--pending_ == 0) proceed();
  });
}

void RepositoryFetch::take_small(const std::string& file, const std::string& revision,
                                 HttpResponse response) {
  if (!description_) {  // then it is not known yet whether it is of the commit
    early_[file] = std::move(response);
    return;
  }
  const std::string commit = header(response.first_headers, "x-repo-commit");
  if (revision != description_->commit && !commit.empty() && commit != description_->commit)
    return ask_small(file, description_->commit, response.depth);  // the branch has moved
  const Refusal why = refusal_of(response);
  const bool is_absent = why == Refusal::no_file || why == Refusal::not_found ||
                         why == Refusal::no_revision || why == Refusal::no_repository;
  if (!response.is_good()) {
    if (is_absent && !description_->files.contains(file)) return;
    refuse(asked_for(file, revision), response);
  }
  const std::string what = fmt::format("{}: {}", name_.repository, file);
  require_json(what, response.body);
  if (!is_index_name(file)) parse_json_object(response.body, what);
  small_[file] = {std::move(response.body),
                  blob_name(file_tag(response.first_headers), description_->commit, file)};
}

/// Nothing is on its way.
void RepositoryFetch::proceed() {
  const std::string& commit = description_->commit;
  result_.commit = commit;
  result_.folder = cache_.snapshot(commit);
  if (!cache_.has_snapshot(commit)) {
    for (auto& [file, response] : std::exchange(early_, {}))
      take_small(file, name_.revision, std::move(response));
    for (const std::string& file : description_->files)
      if (is_at_top(file) && is_small(file) && !asked_.contains(file))
        ask_small(file, commit, depth_);
    if (pending_ > 0 && early_weights_.empty()) ask_likely_weights();
    if (pending_ > 0) return;
    make_snapshot();
  }
  fetch_weights();
}

/// Where the small files were not asked for with the commit: the names tell which weights they will
/// most likely choose, whose first pieces then come with them.
void RepositoryFetch::ask_likely_weights() {
  std::vector<std::string> likely;
  const std::string single = "model.safetensors";
  for (const std::string& file : description_->files)
    if (is_at_top(file) && format_of_name(file) == ContainerFormat::safetensors)
      likely.push_back(file);
  if (description_->files.contains(single))
    likely = {single};
  else if (const auto shards = numbered_shards(likely); shards && shards->missing.empty())
    likely = shards->present;
  else
    return;
  for (const std::string& name : likely) {
    const auto entry = early_weights_.emplace(name, weight_file(result_.folder / name)).first;
    WeightFile& file = entry->second;
    ++pending_;
    file.remote->read({0, kFirstPiece}, depth_, [this, &file](Piece piece, std::size_t depth) {
      file.pieces.push_back(std::move(piece));
      file.depth = depth;
      if (--pending_ == 0) proceed();
    });
  }
}

void RepositoryFetch::add_shards(const std::string& index, const std::string& text,
                                 std::set<std::string>& shards) const {
  const std::string what = fmt::format("{}: {}", name_.repository, index);
  for (const auto& [shard, number] : read_weight_map(text, what).shards) {
    if (!is_safe_path(shard))
      throw MalformedError(
          fmt::format("{}: shard {}: unsafe path, expected a file of the "
                      "repository",
                      what, in_quotes(shard)));
    shards.insert(shard);
  }
}

void RepositoryFetch::make_snapshot() {
  std::vector<std::string> weights;
  std::set<std::string> named;
  for (const auto& [name, content] : small_)
    if (is_index_name(name)) add_shards(name, content.text, named);
  for (const std::string& file : description_->files) {
    const bool is_weights = format_of_name(file).has_value();
    if (!small_.contains(file) && (named.contains(file) || (is_at_top(file) && is_weights)))
      weights.push_back(file);
  }
  if (weights.empty() && purpose_ == Purpose::predict)
    throw NetworkError(fmt::format(
        "{}: no weights among its {} files at commit {}: expected model.safetensors, its index, or "
        "a .bin or .gguf file",
        name_.repository, description_->files.size(), description_->commit));
  cache_.make_snapshot(description_->commit, small_, weights);
  is_new_ = true;
}

/// The files that the readers will open, all of which must be there.
std::vector<fs::path> RepositoryFetch::weight_files() const {
  if (purpose_ == Purpose::census && holds_configuration_alone(result_.folder)) return {};
  const WeightFiles chosen = find_weights(result_.folder, /*strict=*/false);
  if (!chosen.shards.empty()) return chosen.shards;
  if (!chosen.is_index) return {chosen.file};
  std::vector<fs::path> files;
  for (const auto& [shard, number] :
       read_weight_map(read_text_file(chosen.file), chosen.file).shards) {
    if (description_ && !description_->files.contains(shard))
      throw NetworkError(fmt::format(
          "{}: {} names the shard {}, which the repository lacks at commit {}: choose another "
          "revision, or ask who uploaded it",
          name_.repository, chosen.file.filename().string(), in_quotes(shard), result_.commit));
    files.push_back(result_.folder / shard);
  }
  return files;
}

WeightFile RepositoryFetch::weight_file(const fs::path& path) {
  const std::string name = fs::path(path).lexically_relative(result_.folder).string();
  WeightFile file;
  file.path = path;
  file.remote = std::make_unique<RemoteFile>(
      client_, resolve_url(client_.settings(), name_, result_.commit, name),
      asked_for(name, result_.commit), result_.commit);
  file.place = [this, name](const RemoteFile& remote) {
    return cache_.blob(blob_name(remote.tag(), result_.commit, name));
  };
  file.publish = [this, name](const fs::path& stored) {
    cache_.link(result_.commit, name, stored.filename().string());
  };
  file.forget = [this, name] { cache_.forget(result_.commit, name); };
  return file;
}

void RepositoryFetch::fetch_weights() {
  std::vector<WeightFile> files;
  try {
    for (const fs::path& path : weight_files()) {
      auto early = early_weights_.extract(path.lexically_relative(result_.folder).string());
      files.push_back(early.empty() ? weight_file(path) : std::move(early.mapped()));
    }
  } catch (const Error&) {  // what the server says may be better next time
    if (is_new_) cache_.remove_snapshot(result_.commit);
    throw;
  }
  weights_ = std::make_unique<WeightsFetch>(result_.folder, purpose_, catalogue_);
  weights_->start(std::move(files), depth_, [this] {
    if (result_.from_network) cache_.remember(name_.revision, result_.commit);
  });
}

}  // namespace deadray
