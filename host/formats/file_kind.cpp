#include "host/formats/file_kind.h"

#include <algorithm>
#include <cctype>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "host/base/error.h"
#include "host/base/in_quotes.h"

namespace deadray {

namespace {

constexpr std::pair<std::string_view, ContainerFormat> kEndings[] = {
    {".safetensors", ContainerFormat::safetensors},
    {".bin", ContainerFormat::pytorch},
    {".pt", ContainerFormat::pytorch},
    {".pth", ContainerFormat::pytorch},
    {".ckpt", ContainerFormat::pytorch},
    {".gguf", ContainerFormat::gguf},
    {".npz", ContainerFormat::numpy},
};

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

/// How a file with this name should begin; empty where nothing is known.
std::string_view beginning_of(const std::filesystem::path& file) {
  switch (format_of_name(file.filename().string()).value_or(ContainerFormat::safetensors)) {
    case ContainerFormat::pytorch:
      return "a zip archive ('PK'), a pickle that torch.save() wrote, or a tar archive";
    case ContainerFormat::gguf:
      return "'GGUF'";
    case ContainerFormat::numpy:
      return "a zip archive ('PK')";
    case ContainerFormat::safetensors:
      break;
  }
  return "";
}

}  // namespace

std::optional<ContainerFormat> format_of_name(std::string_view name) {
  for (const auto& [ending, format] : kEndings)
    if (name.ends_with(ending)) return format;
  return std::nullopt;
}

void refuse_other_formats(const InputFile& file) {
  std::string head(std::min<std::uint64_t>(file.size(), 256), '\0');
  file.read(0, head.size(), head.data());
  if (head.size() > 2 && head[0] == '\x80' && head[1] >= 2 && head[1] <= 5 && head[2] != '\0')
    throw UnsupportedError(fmt::format(
        "{}: is a Python pickle that torch.save() did not write: save the model's state_dict() "
        "with torch.save(), or as safetensors",
        file.path().string()));
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
        "{}: is a text of {} bytes that begins {}, not weights: give a file of weights",
        file.path().string(), file.size(), in_quotes(std::string_view(head).substr(0, 40))));
  if (const std::string_view expected = beginning_of(file.path()); !expected.empty())
    throw MalformedError(fmt::format("{}: begins with {}, expected {}: damaged, fetch it again",
                                     file.path().string(),
                                     in_quotes(std::string_view(head).substr(0, 8)), expected));
}

}  // namespace deadray
