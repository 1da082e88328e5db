#include "host/command/inputs.h"

#include <algorithm>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>

#include <fmt/format.h>

#include "host/architecture/config.h"
#include "host/base/atomic_file.h"
#include "host/base/error.h"
#include "host/formats/folder/model_folder.h"
#include "host/formats/shard_index.h"

namespace deadray {
namespace {

namespace fs = std::filesystem;

bool are_one_file(const fs::path& a, const fs::path& b) {
  std::error_code ignored;
  return fs::equivalent(a, b, ignored);
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

bool is_in_folder(const fs::path& file, const fs::path& folder) {
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error))
    if (are_one_file(entry->path(), file)) return true;
  return false;
}

}  // namespace

void refuse_to_replace(const fs::path& output, const Inputs& inputs) {
  std::error_code ignored;
  if (!fs::is_regular_file(output, ignored)) return;  // nothing that could be lost
  const auto refuse_if_it_is = [&](const fs::path& input) {
    if (are_one_file(input, output))
      throw UsageError(
          fmt::format("{}: is read ({}) and would be replaced: give the output another place",
                      output.string(), input.string()));
  };
  for (const fs::path& file : inputs.files) refuse_if_it_is(file);
  for (const fs::path& model : inputs.models) {
    if (model.empty()) continue;
    for (const fs::path& file : files_of(model)) refuse_if_it_is(file);
    if (is_in_folder(output, model) && !is_record(output))
      throw UsageError(
          fmt::format("{}: is a file of the model {} and no record of deadray's, which alone are "
                      "replaced there: give the output another place",
                      output.string(), model.string()));
  }
}

void require_own_file(const fs::path& output) {
  std::error_code ignored;
  const fs::file_status status = fs::symlink_status(output, ignored);
  if (!fs::exists(status) || fs::is_regular_file(status)) return;
  const bool is_link = fs::is_symlink(status);
  throw UsageError(fmt::format(
      "{}: is {}, expected a file of the folder itself or none: remove it, or give another folder",
      output.string(),
      is_link ? "a link to " + fs::read_symlink(output, ignored).string() : "no regular file"));
}

void check_output(const fs::path& output, const Inputs& inputs) {
  if (output.empty()) return;
  refuse_to_replace(output, inputs);
  check_writable(output);
}

}  // namespace deadray
