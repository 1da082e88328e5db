#include "host/formats/checkpoint.h"

#include <algorithm>
#include <optional>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/base/input_file.h"
#include "host/base/near_names.h"
#include "host/formats/model_folder.h"
#include "host/formats/safetensors.h"
#include "host/formats/shard_index.h"

namespace deadray {

std::int64_t TensorInfo::elements() const noexcept {
  std::int64_t product = 1;
  for (const std::int64_t extent : shape) product *= extent;
  return product;
}

struct Checkpoint::State {
  std::filesystem::path path;
  std::vector<InputFile> inputs;
  std::vector<std::filesystem::path> files;
  std::vector<TensorInfo> tensors;
  std::vector<std::string> notes;
  std::uint64_t header_bytes = 0;

  void add_file(const std::filesystem::path& file, const CheckpointOptions& options);
  void apply_index(const ShardIndex& index, const std::filesystem::path& file);

  std::string where(const TensorInfo& tensor) const {
    return fmt::format("{}: tensor {}", files.at(tensor.file).string(), in_quotes(tensor.name));
  }
  void refuse_unknown_dtype(const TensorInfo& tensor) const {
    if (tensor.dtype == DType::unknown)
      throw UnsupportedError(fmt::format("{}: dtype {} unknown to deadray", where(tensor),
                                         in_quotes(tensor.stored_dtype)));
  }
};

namespace {

bool by_name_then_file(const TensorInfo& a, const TensorInfo& b) {
  return a.name != b.name ? a.name < b.name : a.file < b.file;
}

}  // namespace

void Checkpoint::State::add_file(const std::filesystem::path& file,
                                 const CheckpointOptions& options) {
  inputs.emplace_back(file);
  files.push_back(file);
  SafetensorsHeader header = read_safetensors_header(inputs.back(), options, files.size() - 1);
  header_bytes += header.bytes;
  std::move(header.notes.begin(), header.notes.end(), std::back_inserter(notes));
  if (tensors.empty())
    tensors = std::move(header.tensors);
  else
    std::move(header.tensors.begin(), header.tensors.end(), std::back_inserter(tensors));
}

/// Keeps of each name the copy that the index points to. Names that the index does not know are
/// kept when there is one copy.
void Checkpoint::State::apply_index(const ShardIndex& index, const std::filesystem::path& file) {
  std::sort(tensors.begin(), tensors.end(), by_name_then_file);
  std::vector<TensorInfo> kept;
  kept.reserve(tensors.size());
  std::size_t unlisted = 0, copies = 0;
  auto entry = index.tensors.begin();
  const auto refuse_missing = [&](const std::string& name, std::size_t shard) {
    throw MalformedError(fmt::format("{}: maps tensor {} to {}, which does not hold it",
                                     file.string(), in_quotes(name),
                                     files[shard].filename().string()));
  };
  for (auto first = tensors.begin(); first != tensors.end();) {
    const auto last = std::find_if(first, tensors.end(),
                                   [&](const TensorInfo& t) { return t.name != first->name; });
    if (entry != index.tensors.end() && entry->first < first->name)
      refuse_missing(entry->first, entry->second);
    auto taken = first;
    if (entry != index.tensors.end() && entry->first == first->name) {
      taken =
          std::find_if(first, last, [&](const TensorInfo& t) { return t.file == entry->second; });
      if (taken == last) refuse_missing(entry->first, entry->second);
      copies += static_cast<std::size_t>(last - first) - 1;
      ++entry;
    } else {
      if (last - first > 1)
        throw MalformedError(fmt::format(
            "{}: tensor {} is in {} and in {}, and the index names neither", file.string(),
            in_quotes(first->name), files[first->file].filename().string(),
            files[(first + 1)->file].filename().string()));
      ++unlisted;
    }
    kept.push_back(std::move(*taken));
    first = last;
  }
  if (entry != index.tensors.end()) refuse_missing(entry->first, entry->second);
  tensors = std::move(kept);
  if (unlisted > 0)
    notes.push_back(
        fmt::format("{}: {} tensors of the shards are not in the index", file.string(), unlisted));
  if (copies > 0)
    notes.push_back(
        fmt::format("{}: {} tensors are in several shards; the copy that the index names is taken",
                    file.string(), copies));
}

Checkpoint Checkpoint::open(const std::filesystem::path& model, const CheckpointOptions& options) {
  auto state = std::make_unique<State>();
  state->path = model;
  WeightFiles weights = find_weights(model, options.strict);
  state->notes = std::move(weights.notes);
  if (!weights.is_index) {
    state->add_file(weights.file, options);
  } else {
    const ShardIndex index = read_shard_index(weights.file);
    state->header_bytes += index.bytes;
    for (const std::filesystem::path& shard : index.shards) state->add_file(shard, options);
    state->apply_index(index, weights.file);
  }
  return Checkpoint(std::move(state));
}

Checkpoint::Checkpoint(std::unique_ptr<State> state) : state_(std::move(state)) {}
Checkpoint::Checkpoint(Checkpoint&&) noexcept = default;
Checkpoint& Checkpoint::operator=(Checkpoint&&) noexcept = default;
Checkpoint::~Checkpoint() = default;

const std::filesystem::path& Checkpoint::path() const noexcept { return state_->path; }
const std::vector<std::filesystem::path>& Checkpoint::files() const noexcept {
  return state_->files;
}
const std::vector<TensorInfo>& Checkpoint::tensors() const noexcept { return state_->tensors; }
const std::vector<std::string>& Checkpoint::notes() const noexcept { return state_->notes; }
std::uint64_t Checkpoint::header_bytes() const noexcept { return state_->header_bytes; }

const TensorInfo* Checkpoint::find(std::string_view name) const noexcept {
  const std::vector<TensorInfo>& tensors = state_->tensors;
  const auto found = std::lower_bound(
      tensors.begin(), tensors.end(), name,
      [](const TensorInfo& t, std::string_view wanted) { return t.name < wanted; });
  return found != tensors.end() && found->name == name ? &*found : nullptr;
}

const TensorInfo& Checkpoint::at(std::string_view name) const {
  if (const TensorInfo* tensor = find(name)) return *tensor;
  std::vector<std::string> known;
  for (const TensorInfo& tensor : state_->tensors) known.push_back(tensor.name);
  throw MalformedError(fmt::format("{}: no tensor {} among its {}{}", path().string(),
                                   in_quotes(name), known.size(), did_you_mean(name, known)));
}

void Checkpoint::read(const TensorInfo& tensor, std::int64_t first, std::int64_t count,
                      void* destination) const {
  state_->refuse_unknown_dtype(tensor);
  const std::uint64_t size = size_of(tensor.dtype);
  if (first < 0 || count < 0 || first > tensor.elements() - count)
    throw InternalError(fmt::format("{}: elements {} to {} of {} were asked for",
                                    state_->where(tensor), first, first + count,
                                    tensor.elements()));
  const std::uint64_t begin = tensor.offset + static_cast<std::uint64_t>(first) * size;
  try {
    state_->inputs.at(tensor.file)
        .read(begin, static_cast<std::uint64_t>(count) * size, destination);
  } catch (const MalformedError& error) {
    throw MalformedError(
        fmt::format("{} while reading tensor {}", error.what(), in_quotes(tensor.name)));
  }
}

void Checkpoint::will_need(const TensorInfo& tensor) const noexcept {
  state_->inputs[tensor.file].will_need(tensor.offset, tensor.bytes);
}

void Checkpoint::require_plain_float(const TensorInfo& tensor) const {
  state_->refuse_unknown_dtype(tensor);
  if (is_plain_float(tensor.dtype)) return;
  const bool quantised = size_of(tensor.dtype) == 1 && tensor.dtype != DType::boolean;
  throw UnsupportedError(
      fmt::format("{}: stored as {}{}", state_->where(tensor), tensor.stored_dtype,
                  quantised ? ": dequantisation scale not found; give the unquantised checkpoint"
                            : ", expected F64, F32, F16 or BF16"));
}

std::vector<double> Checkpoint::read_fp64(const TensorInfo& tensor, std::int64_t first,
                                          std::int64_t count) const {
  require_plain_float(tensor);
  std::vector<double> values(static_cast<std::size_t>(count));
  if (tensor.dtype == DType::f64) {
    read(tensor, first, count, values.data());
    return values;
  }
  std::vector<std::byte> stored(values.size() * size_of(tensor.dtype));
  read(tensor, first, count, stored.data());
  widen(tensor.dtype, stored, values);
  return values;
}

}  // namespace deadray
