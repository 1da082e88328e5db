#include "host/formats/gguf/split.h"

#include <charconv>
#include <cstdint>
#include <optional>

#include <fmt/format.h>

#include "host/base/error.h"
#include "host/base/in_quotes.h"

namespace deadray {
namespace {

/// A key that must be a whole number if it is there.
std::optional<std::uint64_t> count_in(const std::filesystem::path& file,
                                      const std::map<std::string, std::string>& metadata,
                                      const std::string& key) {
  const auto found = metadata.find(key);
  if (found == metadata.end()) return std::nullopt;
  const std::string& text = found->second;
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    throw MalformedError(fmt::format("{}: key '{}' is {}, expected a whole number", file.string(),
                                     key, on_one_line(text, 40)));
  return value;
}

}  // namespace

void require_part_number(const std::filesystem::path& file,
                         const std::map<std::string, std::string>& metadata,
                         std::size_t file_index) {
  const auto count = count_in(file, metadata, "split.count");
  if (count.value_or(1) <= 1) return;
  const std::uint64_t number = count_in(file, metadata, "split.no").value_or(0);
  if (number == file_index) return;
  if (file_index == 0)
    throw MalformedError(fmt::format("{}: is part {} of {}: give the first part, beside the others",
                                     file.string(), number + 1, *count));
  throw MalformedError(fmt::format("{}: is part {} of {}, expected part {}: was it renamed?",
                                   file.string(), number + 1, *count, file_index + 1));
}

void require_all_parts(const std::filesystem::path& first,
                       const std::map<std::string, std::string>& metadata, std::size_t n_files,
                       std::size_t n_tensors) {
  const std::uint64_t count = count_in(first, metadata, "split.count").value_or(1);
  // 0 and 1 both say that it is not split.
  if (count != n_files && (count > 1 || n_files > 1))
    throw MalformedError(
        fmt::format("{}: says {} parts, found {}: fetch all of them into the folder",
                    first.string(), count, n_files));
  const auto tensors = count_in(first, metadata, "split.tensors.count");
  if (tensors.value_or(n_tensors) != n_tensors)
    throw MalformedError(
        fmt::format("{}: says {} tensors in all parts, found {}: parts of another "
                    "file among them?",
                    first.string(), *tensors, n_tensors));
}

}  // namespace deadray
