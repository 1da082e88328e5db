#include "host/remote/model_name.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/remote/http/url.h"

namespace deadray {
namespace {

bool is_name_part(std::string_view part) {
  const auto is_plain = [](unsigned char c) {
    return (std::isalnum(c) != 0 && c < 0x80) || c == '-' || c == '_' || c == '.';
  };
  return !part.empty() && part.size() <= 96 && part.front() != '.' && part.front() != '-' &&
         part.find("--") == part.npos && part.find("..") == part.npos &&
         std::all_of(part.begin(), part.end(), is_plain);
}

bool is_repository(std::string_view name) {
  const std::size_t slash = name.find('/');
  return slash == name.npos
             ? is_name_part(name)
             : is_name_part(name.substr(0, slash)) && is_name_part(name.substr(slash + 1));
}

ModelName parse_url(const std::string& text) {
  if (origin_of(text).empty())
    throw UsageError(fmt::format("{}: is no http or https URL",  // without what may be secret
                                 on_one_line(text.substr(0, text.find_first_of("?#@")), 200)));
  const std::string file = file_name_of(text);
  for (const std::string_view ending : {".safetensors", ".gguf", ".bin"})
    if (file.ends_with(ending) && is_safe_path(file) && file.find('/') == file.npos)
      return {"", "", text};
  throw UsageError(
      fmt::format("{}: expected the URL of a .safetensors, .gguf or .bin file", shown_url(text)));
}

}  // namespace

bool is_commit(std::string_view text) {
  return text.size() >= 7 && text.size() <= 64 &&
         text.find_first_not_of("0123456789abcdef") == text.npos;
}

bool is_safe_path(std::string_view name) {
  const auto is_control = [](unsigned char c) { return c < ' ' || c == 0x7f || c == '\\'; };
  if (name.empty() || name.size() > 1000 || name.front() == '/' || name.back() == '/' ||
      std::any_of(name.begin(), name.end(), is_control))
    return false;
  while (!name.empty()) {
    const std::string_view part = name.substr(0, name.find('/'));
    if (part.empty() || part == "." || part == ".." || part.size() > 255) return false;
    name.remove_prefix(std::min(name.size(), part.size() + 1));
  }
  return true;
}

ModelName parse_model_name(const std::string& text) {
  if (text.find("://") != text.npos) return parse_url(text);
  const std::size_t at = text.find('@');
  const std::string repository = text.substr(0, at),
                    revision = at == text.npos ? "main" : text.substr(at + 1);
  if (!is_repository(repository))
    throw UsageError(
        fmt::format("{}: expected org/name, org/name@revision, or the https URL of a "
                    "file of weights",
                    in_quotes(text)));
  if (!is_safe_path(revision))
    throw UsageError(fmt::format("{}: {} is no revision: expected a branch, tag or commit",
                                 repository, in_quotes(revision)));
  return {repository, revision, ""};
}

}  // namespace deadray
