#include "host/remote/weights_fetch.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/base/input_file.h"
#include "host/census/census_model.h"
#include "host/prediction/model_prediction.h"
#include "host/remote/byte_ranges.h"
#include "host/remote/wanted_bytes.h"

namespace deadray {
namespace {

constexpr std::uint64_t kGap = 4096;  // bytes that a further request would cost more than
constexpr std::uint64_t kLongestVector = 4 << 20;  // of a census
constexpr std::uint64_t kLongestScale = 64 << 20;  // sixteen million channels
constexpr int kMostHeaderRounds = 4000;            // files of PyTorch before 1.6 have one a storage
constexpr int kMostRounds = 8;

ByteRange bytes_of(const TensorInfo& tensor) {
  return {tensor.offset, tensor.offset + tensor.bytes};
}

/// What is here of a file; nothing where it is known by name alone.
std::vector<ByteRange> held_ranges(const std::filesystem::path& path) {
  const InputFile file(path);
  if (file.partial() == nullptr) return {{0, file.size()}};
  return file.partial()->what().ranges;
}

bool is_placeholder(const std::filesystem::path& path) {
  const InputFile file(path);
  return file.partial() != nullptr && file.size() == 0;
}

}  // namespace

WeightsFetch::WeightsFetch(std::filesystem::path model, Purpose purpose,
                           std::filesystem::path catalogue)
    : model_(std::move(model)), purpose_(purpose), catalogue_(std::move(catalogue)) {}

void WeightsFetch::start(std::vector<WeightFile> files, std::size_t depth,
                         std::function<void()> done) {
  files_ = std::move(files);
  done_ = std::move(done);
  unread_ = files_.size();
  if (files_.empty()) return done_();
  for (WeightFile& file : files_) file.depth = std::max(file.depth, depth);
  for (WeightFile& file : files_) {
    if (!file.pieces.empty()) store(file);
    if (is_not_here(file))
      ask_first(file);
    else
      read_header(file);
  }
}

/// What a power failure left of it is thrown away.
bool WeightsFetch::is_not_here(const WeightFile& file) {
  std::error_code ignored;
  if (!std::filesystem::exists(file.path, ignored)) return true;
  try {
    return is_placeholder(file.path);
  } catch (const MalformedError&) {
    file.forget();
    return true;
  }
}

void WeightsFetch::ask_first(WeightFile& file) {
  const std::size_t depth = file.depth;
  const auto received = [this, &file](Piece piece, std::size_t answered) {
    take(file, std::move(piece), answered, [this, &file] { read_header(file); });
  };
  const bool both_ends = has_table_at_end(file.remote->name());
  file.pending = both_ends ? 2 : 1;
  file.remote->read({0, kFirstPiece}, depth, received);
  if (both_ends) file.remote->read_end(kFirstPiece, depth, received);
}

void WeightsFetch::read_header(WeightFile& file) {
  std::vector<ByteRange> wanted;
  try {
    wanted = wanted_for_header(file.path);
  } catch (const MalformedError&) {
    file.forget();
    throw;
  }
  wanted = without_held(join_ranges(std::move(wanted), kGap), held_ranges(file.path));
  if (wanted.empty()) {
    if (--unread_ == 0) describe();
    return;
  }
  if (++file.rounds > kMostHeaderRounds)
    throw MalformedError(fmt::format("{}: its header is in more than {} places: download the file",
                                     file.remote->what(), kMostHeaderRounds));
  ask(file, wanted, [this, &file] { read_header(file); });
}

void WeightsFetch::ask(WeightFile& file, const std::vector<ByteRange>& ranges,
                       std::function<void()> then) {
  file.pending = ranges.size();
  const std::size_t depth = file.depth;
  for (const ByteRange& range : ranges)
    file.remote->read(range, depth, [this, &file, then](Piece piece, std::size_t answered) {
      take(file, std::move(piece), answered, then);
    });
}

void WeightsFetch::take(WeightFile& file, Piece piece, std::size_t depth,
                        const std::function<void()>& then) {
  file.pieces.push_back(std::move(piece));
  file.depth = std::max(file.depth, depth);
  if (--file.pending > 0) return;
  store(file);
  then();
}

void WeightsFetch::store(WeightFile& file) {
  const bool is_first = file.stored.empty();
  if (is_first) file.stored = file.place(*file.remote);
  const std::vector<Piece> pieces = std::exchange(file.pieces, {});
  std::error_code ignored;
  const bool is_whole =
      std::filesystem::exists(file.stored, ignored) && InputFile(file.stored).partial() == nullptr;
  if (!is_whole)
    write_partial_file(
        file.stored,
        {*file.remote->size(), plain_etag(file.remote->tag().etag), file.remote->shown_url(), {}},
        pieces);
  if (is_first) file.publish(file.stored);
}

std::size_t WeightsFetch::number_of(const std::filesystem::path& path) const {
  const auto found = std::find_if(files_.begin(), files_.end(),
                                  [&](const WeightFile& file) { return file.path == path; });
  if (found == files_.end())
    throw InternalError(
        fmt::format("{}: was read, and is none of the model's files", path.string()));
  return static_cast<std::size_t>(found - files_.begin());
}

/// By the readers' own description of the model; for each file.
std::vector<std::vector<ByteRange>> WeightsFetch::wanted_ranges() {
  PredictRequest request;
  request.model = model_;
  request.catalogue = catalogue_;
  const OpenedModel model = open_checkpoint_model(request);
  is_safetensors_ = model.checkpoint.format() == ContainerFormat::safetensors;
  std::vector<std::size_t> numbers;
  for (const auto& path : model.checkpoint.files()) numbers.push_back(number_of(path));
  std::vector<std::vector<ByteRange>> wanted(files_.size());
  const auto want = [&](const TensorInfo& tensor) {
    if (tensor.bytes > kLongestScale)
      throw MalformedError(fmt::format("{}: tensor {}: {} bytes, expected at most {} of a norm",
                                       model_.string(), in_quotes(tensor.name), tensor.bytes,
                                       kLongestScale));
    wanted[numbers[tensor.file]].push_back(bytes_of(tensor));
  };
  for (const NormSite& site : model.sites)
    for (const std::string& name : {site.weight, site.bias})
      if (const TensorInfo* tensor = name.empty() ? nullptr : model.checkpoint.find(name))
        want(*tensor);
  if (purpose_ == Purpose::census)
    for (const TensorInfo& tensor : model.checkpoint.tensors())
      if (tensor.shape.size() == 1 && tensor.bytes <= kLongestVector) want(tensor);
  return wanted;
}

/// Where the description itself asks for values, or there is none.
std::vector<std::vector<ByteRange>> WeightsFetch::wanted_by_names() {
  std::vector<std::vector<ByteRange>> wanted(files_.size());
  for (std::size_t i = 0; i < files_.size(); ++i)
    for (const TensorInfo& tensor : read_container_header(InputFile(files_[i].path), {}, i).tensors)
      for (const ByteRange& range : wanted_for_description(tensor)) wanted[i].push_back(range);
  return wanted;
}

/// @return whether anything was asked for; describe() then comes again
bool WeightsFetch::ask_for(std::vector<std::vector<ByteRange>> wanted) {
  std::size_t depth = 0;
  std::vector<std::size_t> asked;
  for (std::size_t i = 0; i < files_.size(); ++i) {
    depth = std::max(depth, files_[i].depth);
    wanted[i] = without_held(join_ranges(std::move(wanted[i]), kGap), held_ranges(files_[i].path));
    if (!wanted[i].empty()) asked.push_back(i);
  }
  unread_ = asked.size();
  for (WeightFile& file : files_) file.depth = depth;
  for (const std::size_t i : asked)
    ask(files_[i], wanted[i], [this] {
      if (--unread_ == 0) describe();
    });
  return !asked.empty();
}

void WeightsFetch::describe() {
  if (++rounds_ > kMostRounds)
    throw InternalError(fmt::format("{}: more bytes are wanted each time", model_.string()));
  if (is_described_) return try_out();
  std::vector<std::vector<ByteRange>> wanted;
  try {
    wanted = wanted_ranges();
    is_described_ = true;
  } catch (const MissingBytes& missing) {
    wanted = wanted_by_names();
    wanted[number_of(missing.file)].push_back(missing.wanted);
  } catch (const Error& error) {
    // Options of who asked may help: it says what is wrong with the model.
    if (error.code() != ExitCode::malformed && error.code() != ExitCode::unsupported &&
        error.code() != ExitCode::usage)
      throw;
    wanted = wanted_by_names();
  }
  if (!ask_for(std::move(wanted))) try_out();
}

/// Reads what the asker will read. Of safetensors a prediction reads the norms and nothing else:
/// the description has named them, and opening 20,000 tensors once more takes a tenth of a second.
void WeightsFetch::try_out() {
  if (is_described_ && purpose_ == Purpose::predict && is_safetensors_) return done_();
  try {
    if (purpose_ == Purpose::census) {
      census_of_model(model_, {});
    } else {
      PredictRequest request;
      request.model = model_;
      request.catalogue = catalogue_;
      predict_model(request, open_checkpoint_model(request));
    }
  } catch (const MissingBytes& missing) {
    std::vector<std::vector<ByteRange>> wanted(files_.size());
    wanted[number_of(missing.file)].push_back(missing.wanted);
    if (ask_for(std::move(wanted))) return;
  } catch (const Error& error) {
    if (error.code() == ExitCode::resources) throw;
  }
  done_();
}

}  // namespace deadray
