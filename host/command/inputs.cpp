#include "host/command/inputs.h"

#include <sys/stat.h>

#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "host/architecture/config.h"
#include "host/base/atomic_file.h"
#include "host/base/error.h"
#include "host/formats/folder/model_folder.h"
#include "host/formats/shard_index.h"

namespace deadray {
namespace {

namespace fs = std::filesystem;

/// Device and number of a file: the same by whatever path or link.
using FileId = std::pair<dev_t, ino_t>;
std::optional<FileId> id_of(const fs::path& file) {
  struct stat status;
  if (::stat(file.c_str(), &status) != 0) return {};
  return FileId{status.st_dev, status.st_ino};
}

/// The files of a model that a command may open. Why one cannot be found is said when it is opened.
std::vector<fs::path> files_of(const fs::path& model) {
  std::vector<fs::path> files{model, config_file(model)};
  try {
    const WeightFiles weights = find_weights(model, /*strict=*/false);
    files.push_back(weights.file);
    files.insert(files.end(), weights.shards.begin(), weights.shards.end());
    if (!weights.is_index) return files;
    const ShardIndex index = read_shard_index(weights.file);
    files.insert(files.end(), index.shards.begin(), index.shards.end());
  } catch (const Error&) {
  }
  return files;
}

/// Whether deadray has written a file, as it begins its records. A roster is the user's own.
bool is_record(const fs::path& file) {
  constexpr std::string_view kRecord = "{\n  \"schema\": \"deadray/", kRoster = "roster/";
  std::string begin(kRecord.size() + kRoster.size(), '\0');
  std::ifstream(file, std::ios::binary).read(begin.data(), std::ssize(begin));
  return begin.starts_with(kRecord) && !begin.ends_with(kRoster);
}

/// The outputs that are there already: what could be lost.
class Endangered {
 public:
  explicit Endangered(std::span<const fs::path> outputs) {
    std::error_code ignored;
    for (const fs::path& output : outputs)
      if (fs::is_regular_file(output, ignored))
        if (const auto id = id_of(output)) by_id_.emplace(*id, output);
  }
  bool none() const noexcept { return by_id_.empty(); }
  /// The output that `file` is; null: none.
  const fs::path* find(const fs::path& file) const {
    const auto id = id_of(file);
    const auto found = id ? by_id_.find(*id) : by_id_.end();
    return found == by_id_.end() ? nullptr : &found->second;
  }

 private:
  std::map<FileId, fs::path> by_id_;
};

void refuse_if_read(const fs::path& input, const Endangered& outputs) {
  if (const fs::path* output = outputs.find(input))
    throw UsageError(
        fmt::format("{}: is read ({}) and would be replaced: give the output another place",
                    output->string(), input.string()));
}

void refuse_within(const fs::path& model, const Endangered& outputs) {
  std::error_code error;
  for (fs::directory_iterator entry(model, error), end; !error && entry != end;
       entry.increment(error))
    if (const fs::path* output = outputs.find(entry->path()); output && !is_record(*output))
      throw UsageError(
          fmt::format("{}: is a file of the model {} and no record of deadray's, which alone are "
                      "replaced there: give the output another place",
                      output->string(), model.string()));
}

}  // namespace

void refuse_to_replace(const fs::path& output, const Inputs& inputs) {
  refuse_to_replace(std::span(&output, 1), inputs);
}

void refuse_to_replace(std::span<const fs::path> outputs, const Inputs& inputs) {
  const Endangered endangered(outputs);
  if (endangered.none()) return;
  for (const fs::path& file : inputs.files) refuse_if_read(file, endangered);
  for (const fs::path& model : std::set(inputs.models.begin(), inputs.models.end())) {
    if (model.empty()) continue;
    for (const fs::path& file : files_of(model)) refuse_if_read(file, endangered);
    refuse_within(model, endangered);
  }
}

void check_output(const fs::path& output, const Inputs& inputs) {
  if (output.empty()) return;
  refuse_to_replace(output, inputs);
  check_writable(output);
}

}  // namespace deadray
