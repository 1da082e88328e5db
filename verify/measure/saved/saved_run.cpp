#include "verify/measure/saved/saved_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <regex>
#include <system_error>

#include "host/base/atomic_file.h"
#include "host/base/error.h"

namespace deadray {
namespace {

/// The bytes of a name need not be text.
std::string text_of(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// The first key whose values differ, with those that are short, for people.
std::string difference(const nlohmann::json& saved, const nlohmann::json& now) {
  std::vector<std::string> keys{"model"};  // first: with it much else differs
  for (const auto& [key, value] : now.items()) keys.push_back(key);
  for (const std::string& key : keys) {
    const nlohmann::json value = now.value(key, nlohmann::json());
    const nlohmann::json was =
        saved.is_object() ? saved.value(key, nlohmann::json()) : nlohmann::json();
    if (was == value) continue;
    return value.is_structured()
               ? key + " differ"
               : fmt::format("{} was {}, is {}", key, text_of(was), text_of(value));
  }
  return "it has other keys";
}

std::string beginning_of_name(const Communicator& ranks) {
  return fmt::format("rank-{}-of-{}.block-", ranks.rank(), ranks.size());
}

std::filesystem::path file_of(const std::filesystem::path& folder, const Communicator& ranks,
                              std::int64_t node) {
  return folder / fmt::format("{}{}.safetensors", beginning_of_name(ranks), node);
}

/// The blocks whose states this rank has saved, ascending.
std::vector<std::int64_t> saved_nodes(const std::filesystem::path& folder,
                                      const Communicator& ranks) {
  std::vector<std::int64_t> nodes;
  const std::string begin = beginning_of_name(ranks);
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename();
    std::int64_t node = 0;
    if (!name.starts_with(begin)) continue;
    std::from_chars(name.data() + begin.size(), name.data() + name.size(), node);
    if (entry.path() == file_of(folder, ranks, node)) nodes.push_back(node);
  }
  std::sort(nodes.begin(), nodes.end());
  return nodes;
}

/// @param kept  a block whose state stays; -1: none does
void remove_states(const std::filesystem::path& folder, const Communicator& ranks,
                   std::int64_t kept) {
  for (const std::int64_t node : saved_nodes(folder, ranks))
    if (node != kept) std::filesystem::remove(file_of(folder, ranks, node));
}

}  // namespace

SavedRun::SavedRun(std::filesystem::path folder, nlohmann::json inputs, Communicator& ranks)
    : folder_(std::move(folder)),
      inputs_(nlohmann::json::parse(text_of(inputs))),  // as a state gives them back
      ranks_(ranks) {
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (error)
    throw ResourceError(fmt::format("--checkpoint {}: {}; give a folder that can be written",
                                    folder_.string(), error.message()));
  check_writable(file_of(folder_, ranks_, 0));
}

/// States of another number of ranks hold other parts of the tokens.
void SavedRun::refuse_other_ranks() const {
  static const std::regex state("rank-[0-9]+-of-([0-9]+)\\.block-[0-9]+\\.safetensors");
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
    std::smatch match;
    const std::string name = entry.path().filename();
    if (std::regex_match(name, match, state) && match[1] != std::to_string(ranks_.size()))
      throw UsageError(fmt::format(
          "--checkpoint {}: holds the state of a run of {} ranks, and {} started: start as many "
          "again, give another folder, or remove it",
          folder_.string(), match[1].str(),
          ranks_.size() == 1 ? "one is" : fmt::format("{} are", ranks_.size())));
  }
}

/// The last block whose state every rank has.
std::optional<std::int64_t> SavedRun::last_common_node() {
  std::vector<std::int64_t> common = saved_nodes(folder_, ranks_);
  for (const std::string& bytes : ranks_.gather(nlohmann::json(common).dump())) {
    const auto others = nlohmann::json::parse(bytes).get<std::vector<std::int64_t>>();
    std::erase_if(common, [&](std::int64_t node) {
      return !std::binary_search(others.begin(), others.end(), node);
    });
  }
  const bool has_any = !saved_nodes(folder_, ranks_).empty();
  lacks_parts_ = ranks_.largest(common.empty() && has_any ? 1 : 0) > 0;
  return common.empty() ? std::nullopt : std::optional(common.back());
}

std::optional<RunState> SavedRun::load() {
  refuse_other_ranks();
  const std::optional<std::int64_t> node = last_common_node();
  if (!node) return std::nullopt;
  const SavedState saved = read_state(file_of(folder_, ranks_, *node));
  if (const auto of = nlohmann::json::parse(saved.inputs, nullptr, false); of != inputs_)
    throw UsageError(fmt::format(
        "--checkpoint {}: holds the state of another run: {}; give another folder, or remove it",
        folder_.string(), difference(of, inputs_)));
  return saved.state;
}

void SavedRun::save(const RunState& state) {
  write_state(file_of(folder_, ranks_, state.node), {state, text_of(inputs_)});
  ranks_.meet();  // all have this one: the one before is no longer needed
  remove_states(folder_, ranks_, state.node);
}

void remove_saved_run(const std::filesystem::path& folder, Communicator& ranks) {
  ranks.meet();  // rank 0 has written the result
  remove_states(folder, ranks, -1);
  ranks.meet();
  std::error_code not_empty;
  if (ranks.rank() == 0) std::filesystem::remove(folder, not_empty);
}

}  // namespace deadray
