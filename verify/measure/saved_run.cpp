#include "verify/measure/saved_run.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <regex>
#include <system_error>

#include "host/base/atomic_file.h"
#include "host/base/error.h"
#include "host/formats/checkpoint.h"
#include "host/formats/safetensors_writer.h"
#include "kernels/arithmetic/fnv1a.h"
#include "verify/base/dtypes.h"
#include "verify/measure/run_identity.h"

namespace deadray {
namespace {

constexpr std::string_view kSchema = "deadray/run/1";
constexpr const char* kStream = "stream";
constexpr const char* kRowSpace = "row_space";

std::string hex(const std::vector<std::uint8_t>& bytes) {
  return fmt::format("{:02x}", fmt::join(bytes, ""));
}

std::vector<std::uint8_t> bytes_of(std::string_view hex) {
  std::vector<std::uint8_t> bytes(hex.size() / 2);
  for (std::size_t i = 0; i < bytes.size(); ++i)
    std::from_chars(hex.data() + 2 * i, hex.data() + 2 * i + 2, bytes[i], 16);
  return bytes;
}

/// Of all metadata but itself.
std::string sum_of(const std::map<std::string, std::string>& metadata) {
  std::string all;
  for (const auto& [key, value] : metadata)
    if (key != "sum") all += key + '=' + value + '\n';
  return std::to_string(kernels::fnv1a(all));
}

nlohmann::json residual_json(const ResidualStream::State& state) {
  const ResidualSpectrum& spectrum = state.spectrum;
  return {{"centred", spectrum.centred},
          {"uncentred", spectrum.uncentred},
          {"restricted", spectrum.restricted},
          {"excluded", spectrum.excluded},
          {"rank", spectrum.rank ? nlohmann::json(*spectrum.rank) : nlohmann::json(nullptr)},
          {"tokens", {state.tokens, state.all_tokens, state.hidden_size}}};
}

ResidualStream::State residual_of(const nlohmann::json& json, const at::Tensor& row_space) {
  ResidualStream::State state;
  json.at("centred").get_to(state.spectrum.centred);
  json.at("uncentred").get_to(state.spectrum.uncentred);
  json.at("restricted").get_to(state.spectrum.restricted);
  json.at("excluded").get_to(state.spectrum.excluded);
  if (const auto& rank = json.at("rank"); !rank.is_null())
    state.spectrum.rank = rank.get<std::int64_t>();
  state.tokens = json.at("tokens").at(0);
  state.all_tokens = json.at("tokens").at(1);
  state.hidden_size = json.at("tokens").at(2);
  state.row_space = row_space;
  return state;
}

/// A file that save() has written, checked.
class StateFile {
 public:
  /// @throws MalformedError for one that save() has not written so
  explicit StateFile(const std::filesystem::path& path) : file_(open(path)) {
    if (entry("schema") != kSchema)
      fail(fmt::format("schema {} but expected {}", entry("schema"), kSchema));
    if (entry("sum") != sum_of(file_.metadata()))
      fail("its metadata do not have the checksum that was saved with them");
  }

  const std::string& entry(const char* key) const {
    const auto found = file_.metadata().find(key);
    if (found == file_.metadata().end()) fail(fmt::format("no '{}' in its metadata", key));
    return found->second;
  }
  bool has(const char* name) const { return file_.find(name) != nullptr; }
  at::Tensor tensor(const char* name) const {
    const TensorInfo& info = file_.at(name);
    const at::Tensor values = at::empty(info.shape, scalar_type(info.dtype));
    file_.read(info, values.data_ptr());
    if (std::to_string(checksum(values)) != entry(name))
      fail(fmt::format("{} does not have the checksum that was saved with it", name));
    return values;
  }

 private:
  /// Whoever reads weights would advise to fetch them again.
  static Checkpoint open(const std::filesystem::path& path) {
    try {
      return Checkpoint::open(path);
    } catch (const MalformedError&) {
      refuse(path, "is no whole safetensors file");
    }
  }
  [[noreturn]] static void refuse(const std::filesystem::path& path, std::string_view problem) {
    throw MalformedError(fmt::format("{}: {}: the state of a run, damaged; remove it to begin anew",
                                     path.string(), problem));
  }
  [[noreturn]] void fail(std::string_view problem) const { refuse(file_.path(), problem); }
  Checkpoint file_;
};

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
  require_own_file(file_of(folder_, ranks_, *node));
  const StateFile saved(file_of(folder_, ranks_, *node));
  if (const auto of = nlohmann::json::parse(saved.entry("inputs"), nullptr, false); of != inputs_)
    throw UsageError(fmt::format(
        "--checkpoint {}: holds the state of another run: {}; give another folder, or remove it",
        folder_.string(), difference(of, inputs_)));
  RunState state;
  state.node = *node;
  state.stream = saved.tensor(kStream);
  state.measured = nlohmann::json::from_cbor(bytes_of(saved.entry("measured")));
  const auto residual = nlohmann::json::from_cbor(bytes_of(saved.entry("residual")));
  const at::Tensor row_space = saved.has(kRowSpace) ? saved.tensor(kRowSpace) : at::Tensor();
  if (!residual.is_null()) state.residual = residual_of(residual, row_space);
  return state;
}

void SavedRun::save(const RunState& state) {
  std::vector<std::pair<const char*, at::Tensor>> tensors{
      {kStream, state.stream.cpu().contiguous()}};
  if (state.residual && state.residual->row_space.defined())
    tensors.emplace_back(kRowSpace, state.residual->row_space.cpu().contiguous());
  std::map<std::string, std::string> metadata{
      {"schema", std::string(kSchema)},
      {"inputs", text_of(inputs_)},
      {"measured", hex(nlohmann::json::to_cbor(state.measured))},
      {"residual", hex(nlohmann::json::to_cbor(state.residual ? residual_json(*state.residual)
                                                              : nlohmann::json()))}};
  std::vector<TensorDeclaration> declared;
  for (const auto& [name, values] : tensors) {
    declared.push_back({name, dtype_of(values.scalar_type()), values.sizes().vec()});
    metadata[name] = std::to_string(checksum(values));
  }
  require_own_file(file_of(folder_, ranks_, state.node));
  metadata["sum"] = sum_of(metadata);
  SafetensorsWriter writer(file_of(folder_, ranks_, state.node), declared, metadata);
  for (const auto& [name, values] : tensors)
    writer.append({static_cast<const std::byte*>(values.const_data_ptr()), values.nbytes()});
  writer.finish();
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
