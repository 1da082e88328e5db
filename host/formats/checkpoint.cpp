#include "host/formats/checkpoint.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <iterator>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/base/input_file.h"
#include "host/base/near_names.h"
#include "host/base/partial_file.h"
#include "host/base/threads/parallel.h"
#include "host/formats/folder/model_folder.h"
#include "host/formats/folder/own_files.h"
#include "host/formats/gguf/gguf.h"
#include "host/formats/gguf/split.h"
#include "host/formats/lookup/name_table.h"
#include "host/formats/numpy/npz.h"
#include "host/formats/pytorch/pytorch_archive.h"
#include "host/formats/safetensors.h"
#include "host/formats/shard_index.h"
#include "host/formats/stored_elements.h"
#include "host/formats/wrapped_names.h"

namespace deadray {

namespace {

/// Beside so long a read the look at the path costs nothing.
constexpr std::uint64_t kLongRead = 1 << 20;

/// Files that the user did not name: all of a folder's, and what belongs to a file that was given.
void refuse_links_outside(const std::filesystem::path& model, const WeightFiles& weights) {
  std::error_code ignored;
  const bool is_folder = std::filesystem::is_directory(model, ignored);
  const std::filesystem::path folder = is_folder ? model : model.parent_path();
  if (is_folder) refuse_link_outside(weights.file, folder);
  for (const std::filesystem::path& shard : weights.shards)
    if (shard != model) refuse_link_outside(shard, folder);
}

void sort_by_name(std::vector<TensorInfo>& tensors) {
  std::sort(tensors.begin(), tensors.end(),
            [](const TensorInfo& a, const TensorInfo& b) { return a.name < b.name; });
}

}  // namespace

ContainerHeader read_container_header(const InputFile& file, const CheckpointOptions& options,
                                      std::size_t file_index) {
  if (looks_like_gguf(file)) return read_gguf_header(file, options, file_index);
  if (looks_like_npz(file)) return read_npz_header(file, options, file_index);
  if (looks_like_pytorch(file)) return read_pytorch_header(file, options, file_index);
  return read_safetensors_header(file, options, file_index);
}

struct Checkpoint::State {
  std::filesystem::path path;
  std::vector<InputFile> inputs;  // none where `held` is read
  decltype(HeldTensors::read) held;
  std::vector<std::filesystem::path> files;
  std::vector<TensorInfo> tensors;
  NameTable names;  // of `tensors`
  std::vector<std::string> notes;
  std::uint64_t header_bytes = 0;
  ContainerFormat format = ContainerFormat::safetensors;
  std::map<std::string, std::string> metadata;
  std::atomic<int> read_together = 0;  // calls of it that run

  void add_files(const std::vector<std::filesystem::path>& paths, const CheckpointOptions& options);

  std::string where(const TensorInfo& tensor) const {
    return fmt::format("{}: tensor {}", files.at(tensor.file).string(), in_quotes(tensor.name));
  }
  void refuse_unknown_dtype(const TensorInfo& tensor) const {
    if (tensor.dtype == DType::unknown)
      throw UnsupportedError(fmt::format("{}: dtype {} unknown to deadray", where(tensor),
                                         in_quotes(tensor.stored_dtype)));
  }
};

void Checkpoint::State::add_files(const std::vector<std::filesystem::path>& paths,
                                  const CheckpointOptions& options) {
  struct Opened {
    InputFile input;
    ContainerHeader header;
  };
  // Shards that one thread should have at least: reading a header takes as long as starting one.
  constexpr std::size_t kLeastShards = 4;
  std::vector<FileIdentity> before;
  for (const std::filesystem::path& file : paths) before.push_back(identify(file));
  std::vector<std::optional<Opened>> opened(paths.size());
  run_parallel(paths.size(), threads_for(paths.size(), kLeastShards), [&](std::size_t i) {
    InputFile input(paths[i]);
    ContainerHeader header = read_container_header(input, options, i);
    opened[i] = Opened{std::move(input), std::move(header)};
  });
  std::size_t count = 0;
  for (const auto& file : opened) count += file->header.tensors.size();
  tensors.reserve(count);
  files = paths;
  for (std::optional<Opened>& file : opened) {
    auto [input, header] = *std::exchange(file, std::nullopt);
    inputs.push_back(std::move(input));
    header_bytes += header.bytes;
    format = header.format;
    metadata.merge(std::move(header.metadata));
    std::move(header.notes.begin(), header.notes.end(), std::back_inserter(notes));
    std::move(header.tensors.begin(), header.tensors.end(), std::back_inserter(tensors));
  }
  // Shards that are replaced one after another while they are opened would be a mixture.
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    inputs[i].require_identity(before[i]);
    inputs[i].require_unchanged();
  }
}

Checkpoint Checkpoint::open(const std::filesystem::path& model, const CheckpointOptions& options) {
  auto state = std::make_unique<State>();
  state->path = model;
  WeightFiles weights = find_weights(model, options.strict);
  refuse_links_outside(model, weights);
  state->notes = std::move(weights.notes);
  if (!weights.shards.empty()) {
    state->add_files(weights.shards, options);
    state->tensors = join_shards(state->files, std::move(state->tensors));
  } else if (!weights.is_index) {
    state->add_files({weights.file}, options);
  } else {
    const InputFile index_file(weights.file);
    const ShardIndex index = read_shard_index(weights.file);
    state->header_bytes += index.bytes;
    state->add_files(index.shards, options);
    index_file.require_unchanged();
    state->tensors = choose_copies(index, std::move(state->tensors), state->notes);
  }
  if (state->format == ContainerFormat::gguf)
    require_all_parts(state->files.front(), state->metadata, state->files.size(),
                      state->tensors.size());
  take_off_wrappers(state->tensors, state->notes);
  state->names = NameTable(state->tensors);
  return Checkpoint(std::move(state));
}

Checkpoint Checkpoint::hold(HeldTensors held) {
  auto state = std::make_unique<State>();
  state->path = held.name;
  state->files = {std::move(held.name)};
  state->held = std::move(held.read);
  state->tensors = std::move(held.tensors);
  sort_by_name(state->tensors);
  take_off_wrappers(state->tensors, state->notes);
  state->names = NameTable(state->tensors);
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

ContainerFormat Checkpoint::format() const noexcept { return state_->format; }
const std::map<std::string, std::string>& Checkpoint::metadata() const noexcept {
  return state_->metadata;
}

void Checkpoint::take_as(std::vector<TensorInfo> tensors) {
  sort_by_name(tensors);
  state_->tensors = std::move(tensors);
  state_->names = NameTable(state_->tensors);
}

bool Checkpoint::take_off(std::string_view prefix) {
  if (!take_off_prefix(state_->tensors, prefix)) return false;
  state_->names = NameTable(state_->tensors);
  return true;
}

const TensorInfo* Checkpoint::find(std::string_view name) const noexcept {
  return state_->names.find(state_->tensors, name);
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
  if (first < 0 || count < 0 || first > tensor.elements() - count)
    throw InternalError(fmt::format("{}: elements {} to {} of {} were asked for",
                                    state_->where(tensor), first, first + count,
                                    tensor.elements()));
  if (state_->held) return state_->held(tensor, first, count, destination);
  try {
    const InputFile& file = state_->inputs.at(tensor.file);
    read_elements(file, tensor, first, count, destination);
    if (state_->read_together > 0) return;
    // After the bytes came: whoever writes now is too late for them.
    if (static_cast<std::uint64_t>(count) * size_of(tensor.dtype) < kLongRead)
      file.require_same_content();
    else
      file.require_unchanged();
  } catch (const MissingBytes&) {
    throw;
  } catch (const MalformedError& error) {
    throw MalformedError(
        fmt::format("{}; found while reading tensor {}", error.what(), in_quotes(tensor.name)));
  }
}

void Checkpoint::read_together(const std::function<void()>& reading) const {
  const auto require_unchanged = [this] {
    --state_->read_together;
    for (const InputFile& file : state_->inputs) file.require_unchanged();
  };
  ++state_->read_together;
  try {
    reading();
  } catch (...) {
    require_unchanged();
    throw;
  }
  require_unchanged();
}

void Checkpoint::will_need(const TensorInfo& tensor) const noexcept {
  if (!state_->held) state_->inputs[tensor.file].will_need(tensor.offset, tensor.bytes);
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
