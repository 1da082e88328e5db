#include "verify/measure/saved/run_state.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>
#include <map>
#include <utility>
#include <vector>

#include "host/base/atomic_file.h"
#include "host/base/error.h"
#include "host/formats/checkpoint.h"
#include "host/formats/safetensors_writer.h"
#include "kernels/arithmetic/fnv1a.h"
#include "verify/base/dtypes.h"
#include "verify/measure/saved/run_identity.h"

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

/// A file that write_state() has written, checked.
class StateFile {
 public:
  /// @throws MalformedError for one that write_state() has not written so
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

}  // namespace

SavedState read_state(const std::filesystem::path& file) {
  require_own_file(file);
  const StateFile saved(file);
  RunState state;
  state.node = std::stoll(saved.entry("node"));
  state.stream = saved.tensor(kStream);
  state.measured = nlohmann::json::from_cbor(bytes_of(saved.entry("measured")));
  const auto residual = nlohmann::json::from_cbor(bytes_of(saved.entry("residual")));
  const at::Tensor row_space = saved.has(kRowSpace) ? saved.tensor(kRowSpace) : at::Tensor();
  if (!residual.is_null()) state.residual = residual_of(residual, row_space);
  return {std::move(state), saved.entry("inputs")};
}

void write_state(const std::filesystem::path& file, const SavedState& saved) {
  const RunState& state = saved.state;
  std::vector<std::pair<const char*, at::Tensor>> tensors{
      {kStream, state.stream.cpu().contiguous()}};
  if (state.residual && state.residual->row_space.defined())
    tensors.emplace_back(kRowSpace, state.residual->row_space.cpu().contiguous());
  std::map<std::string, std::string> metadata{
      {"schema", std::string(kSchema)},
      {"inputs", saved.inputs},
      {"node", std::to_string(state.node)},
      {"measured", hex(nlohmann::json::to_cbor(state.measured))},
      {"residual", hex(nlohmann::json::to_cbor(state.residual ? residual_json(*state.residual)
                                                              : nlohmann::json()))}};
  std::vector<TensorDeclaration> declared;
  for (const auto& [name, values] : tensors) {
    declared.push_back({name, dtype_of(values.scalar_type()), values.sizes().vec()});
    metadata[name] = std::to_string(checksum(values));
  }
  metadata["sum"] = sum_of(metadata);
  require_own_file(file);
  SafetensorsWriter writer(file, declared, metadata);
  for (const auto& [name, values] : tensors)
    writer.append({static_cast<const std::byte*>(values.const_data_ptr()), values.nbytes()});
  writer.finish();
}

}  // namespace deadray
