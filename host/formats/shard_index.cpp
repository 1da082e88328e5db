#include "host/formats/shard_index.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <map>
#include <set>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/base/input_file.h"
#include "host/formats/folder/own_files.h"
#include "host/formats/shards/weight_map.h"
#include "host/formats/tensor_names.h"

namespace deadray {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostShards = 99'999;  // as many as the names of shards can count

/// An index comes from elsewhere and must not make us read elsewhere: relative, without "..", and
/// not through a link out of the tree.
fs::path safe_shard_path(const fs::path& index, const std::string& name) {
  const auto refuse = [&](std::string_view why) {
    throw MalformedError(
        fmt::format("{}: shard {}: unsafe path: {}; expected a file of the model's own folder",
                    index.string(), in_quotes(name), why));
  };
  const fs::path relative(name);
  if (name.empty() || name.find('\0') != name.npos) refuse("is no file name");
  if (relative.is_absolute()) refuse("is absolute");
  if (std::find(relative.begin(), relative.end(), "..") != relative.end())
    refuse("leaves the folder through '..'");

  const fs::path path = index.parent_path() / relative;
  if (const auto target = outside(path, index.parent_path()))
    refuse("links to " + target->string());
  return path;
}

/// What else the folder holds: the files of another download beside a stale index.
std::string complete_set_beside(const fs::path& index) {
  std::vector<std::string> names;
  std::error_code error;
  const fs::path folder = index.has_parent_path() ? index.parent_path() : ".";
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error))
    if (entry->path().extension() == index.stem().stem().extension())
      names.push_back(entry->path().filename().string());
  std::sort(names.begin(), names.end());
  const auto set = numbered_shards(names);
  if (!set || !set->missing.empty()) return "";
  return fmt::format(
      "; the folder holds all of {} to {}: if the index is of another download, remove it",
      set->present.front(), set->present.back());
}

[[noreturn]] void throw_missing(const ShardIndex& index, std::size_t shard) {
  refuse_dangling_link(index.shards[shard]);
  std::size_t lost = 0, norms = 0;
  for (const auto& [name, of] : index.tensors) {
    lost += of == shard;
    norms += of == shard && looks_like_norm(name);
  }
  throw MalformedError(
      fmt::format("{}: shard {} is missing: {} of {} tensors lost, {} of them norm parameters; "
                  "fetch it into the folder{}",
                  index.file.string(), in_quotes(index.shards[shard].filename().string()), lost,
                  index.tensors.size(), norms, complete_set_beside(index.file)));
}

[[noreturn]] void throw_not_held(const ShardIndex& index,
                                 const std::pair<std::string, std::size_t>& entry) {
  throw MalformedError(fmt::format("{}: maps tensor {} to {}, which does not hold it",
                                   index.file.string(), in_quotes(entry.first),
                                   index.shards[entry.second].filename().string()));
}

void refuse_two_copies(const ShardIndex& index, std::span<const TensorInfo> unlisted) {
  const auto twice =
      std::adjacent_find(unlisted.begin(), unlisted.end(),
                         [](const TensorInfo& a, const TensorInfo& b) { return a.name == b.name; });
  if (twice == unlisted.end()) return;
  throw MalformedError(fmt::format("{}: tensor {} is in {} and in {}, and the index names neither",
                                   index.file.string(), in_quotes(twice->name),
                                   index.shards[twice->file].filename().string(),
                                   index.shards[(twice + 1)->file].filename().string()));
}

bool by_name_and_file(const TensorInfo& a, const TensorInfo& b) {
  const int order = a.name.compare(b.name);
  return order != 0 ? order < 0 : a.file < b.file;
}

/// For each shard the places in index.tensors of what it holds by the index, in order of name.
std::vector<std::vector<std::size_t>> entries_by_shard(const ShardIndex& index) {
  std::vector<std::vector<std::size_t>> entries(index.shards.size());
  for (std::size_t i = 0; i < index.tensors.size(); ++i)
    entries[index.tensors[i].second].push_back(i);
  return entries;
}

bool names(const ShardIndex& index, const TensorInfo& tensor) {
  const auto entry = std::lower_bound(
      index.tensors.begin(), index.tensors.end(), tensor.name,
      [](const auto& listed, const std::string& name) { return listed.first < name; });
  return entry != index.tensors.end() && entry->first == tensor.name;
}

}  // namespace

std::optional<ShardName> shard_name(std::string_view name) {
  constexpr std::string_view kForm = "-#####-of-#####";
  const std::string_view suffix = name.substr(std::min(name.size(), name.rfind('.')));
  const std::string_view whole = name.substr(0, name.size() - suffix.size());
  if (suffix.empty() || whole.size() <= kForm.size()) return std::nullopt;
  const std::string_view tail = whole.substr(whole.size() - kForm.size());
  for (std::size_t i = 0; i < kForm.size(); ++i)
    if (kForm[i] == '#' ? tail[i] < '0' || tail[i] > '9' : tail[i] != kForm[i]) return std::nullopt;
  const auto five_digits = [&](std::size_t at) {
    return static_cast<std::size_t>(std::stoul(std::string(tail.substr(at, 5))));
  };
  return ShardName{std::string(whole.substr(0, whole.size() - kForm.size())), std::string(suffix),
                   five_digits(1), five_digits(10)};
}

std::string ShardName::of(std::size_t other) const {
  return fmt::format("{}-{:05}-of-{:05}{}", stem, other, count, suffix);
}

std::optional<NumberedShards> numbered_shards(const std::vector<std::string>& names) {
  std::optional<ShardName> set;
  std::set<std::size_t> numbers;
  for (const std::string& name : names) {
    const auto shard = shard_name(name);
    if (!shard) continue;
    if (set &&
        (shard->stem != set->stem || shard->suffix != set->suffix || shard->count != set->count))
      return std::nullopt;
    set = shard;
    numbers.insert(shard->number);
  }
  if (!set || *numbers.begin() < 1 || *numbers.rbegin() > set->count) return std::nullopt;
  NumberedShards shards;
  for (std::size_t i = 1; i <= set->count; ++i)
    (numbers.contains(i) ? shards.present : shards.missing).push_back(set->of(i));
  return shards;
}

ShardIndex read_shard_index(const fs::path& file) {
  const std::string text = read_text_file(file);
  WeightMap map = read_weight_map(text, file);
  if (map.shards.size() > kMostShards)
    throw MalformedError(fmt::format("{}: names {} shards, expected at most {}", file.string(),
                                     map.shards.size(), kMostShards));
  ShardIndex index;
  index.file = file;
  index.bytes = text.size();
  std::vector<std::size_t> in_order(map.shards.size());  // by order of appearance
  for (const auto& [name, number] : map.shards) {
    in_order[number] = index.shards.size();
    index.shards.push_back(safe_shard_path(file, name));
  }
  index.tensors = std::move(map.tensors);
  for (auto& [name, shard] : index.tensors) shard = in_order[shard];

  std::error_code error;
  for (std::size_t i = 0; i < index.shards.size(); ++i)
    if (!fs::exists(index.shards[i], error)) throw_missing(index, i);
  return index;
}

std::vector<TensorInfo> choose_copies(const ShardIndex& index, std::vector<TensorInfo> tensors,
                                      std::vector<std::string>& notes) {
  // Index and shards are in order of name: they are walked side by side, and nothing is sorted.
  const auto entries = entries_by_shard(index);
  std::vector<std::size_t> next(index.shards.size(), 0);  // in `entries`
  std::vector<TensorInfo> kept(index.tensors.size()), unlisted;
  std::size_t superfluous = 0;
  for (TensorInfo& tensor : tensors) {
    const std::vector<std::size_t>& wanted = entries[tensor.file];
    std::size_t& i = next[tensor.file];
    if (i < wanted.size() && index.tensors[wanted[i]].first < tensor.name)
      throw_not_held(index, index.tensors[wanted[i]]);
    if (i < wanted.size() && index.tensors[wanted[i]].first == tensor.name)
      kept[wanted[i++]] = std::move(tensor);
    else if (names(index, tensor))
      ++superfluous;
    else
      unlisted.push_back(std::move(tensor));
  }
  for (std::size_t shard = 0; shard < entries.size(); ++shard)
    if (next[shard] < entries[shard].size())
      throw_not_held(index, index.tensors[entries[shard][next[shard]]]);
  std::sort(unlisted.begin(), unlisted.end(), by_name_and_file);
  refuse_two_copies(index, unlisted);
  if (!unlisted.empty()) {
    notes.push_back(fmt::format("{}: {} tensors of the shards are not in the index",
                                index.file.string(), unlisted.size()));
    const auto middle = static_cast<std::ptrdiff_t>(kept.size());
    std::move(unlisted.begin(), unlisted.end(), std::back_inserter(kept));
    std::inplace_merge(kept.begin(), kept.begin() + middle, kept.end(), by_name_and_file);
  }
  if (superfluous > 0)
    notes.push_back(
        fmt::format("{}: {} tensors are in several shards; the copy that the index names is taken",
                    index.file.string(), superfluous));
  return kept;
}

std::vector<TensorInfo> join_shards(const std::vector<fs::path>& files,
                                    std::vector<TensorInfo> tensors) {
  std::sort(tensors.begin(), tensors.end(), by_name_and_file);
  const auto twice =
      std::adjacent_find(tensors.begin(), tensors.end(),
                         [](const TensorInfo& a, const TensorInfo& b) { return a.name == b.name; });
  if (twice == tensors.end()) return tensors;
  throw MalformedError(fmt::format("{}: tensor {} is in {} too, and no index says which counts",
                                   files[twice->file].string(), in_quotes(twice->name),
                                   files[(twice + 1)->file].filename().string()));
}

}  // namespace deadray
