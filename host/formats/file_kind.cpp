#include "host/formats/file_kind.h"

#include <algorithm>
#include <cctype>
#include <string>

#include <fmt/format.h>

#include "host/base/error.h"
#include "host/base/in_quotes.h"

namespace deadray {

std::optional<std::string_view> convertible_format(const std::filesystem::path& file) {
  const std::string extension = file.extension().string();
  for (const std::string_view pickle : {".bin", ".pt", ".pth", ".ckpt"})
    if (extension == pickle) return "PyTorch pickle";
  return std::nullopt;
}

void throw_convertible(const std::filesystem::path& file, std::string_view format) {
  throw UnsupportedError(fmt::format(
      "{}: is a {} file, deadray reads safetensors: `scripts/convert {} OUT_FOLDER` converts it",
      file.string(), format, file.string()));
}

namespace {

/// ASCII where a safetensors file has its header's length, and no control characters after it.
bool is_text(std::string_view head) {
  const auto is_control = [](unsigned char c) {
    const bool white = c == '\t' || c == '\n' || c == '\r';
    return (c < ' ' && !white) || c == 0x7f;
  };
  const std::string_view length = head.substr(0, 8);
  return std::none_of(head.begin(), head.end(), is_control) &&
         std::all_of(length.begin(), length.end(), [](unsigned char c) { return c < 0x80; });
}

}  // namespace

void refuse_other_formats(const InputFile& file) {
  std::string head(std::min<std::uint64_t>(file.size(), 256), '\0');
  file.read(0, head.size(), head.data());
  if (head.starts_with("PK\x03\x04") || head.starts_with("\x80\x02"))
    throw_convertible(file.path(), "PyTorch pickle");

  std::string text = head.substr(std::min(head.size(), head.find_first_not_of(" \t\r\n")));
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (text.starts_with("version https://git-lfs"))
    throw MalformedError(
        fmt::format("{}: is a git-LFS pointer, not weights: fetch the real file (`git lfs pull`)",
                    file.path().string()));
  for (const std::string_view page : {"<!doctype", "<html", "<?xml", "{\"", "{ ", "{\n", "{\r"})
    if (text.starts_with(page))
      throw MalformedError(fmt::format(
          "{}: is a web page or JSON text of {} bytes, not weights: fetch the real file",
          file.path().string(), file.size()));
  if (text.starts_with("../") && is_text(head))
    throw MalformedError(fmt::format(
        "{}: is the text {}, the target of a link, not weights: copy the folder with its "
        "links followed (cp -rL), or fetch it again",
        file.path().string(), in_quotes(std::string_view(head).substr(0, 80))));
  if (is_text(head))
    throw MalformedError(fmt::format(
        "{}: is a text of {} bytes that begins {}, not weights: give a safetensors file",
        file.path().string(), file.size(), in_quotes(std::string_view(head).substr(0, 40))));
}

}  // namespace deadray
