#include "host/architecture/catalogued/type_catalogue.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/base/input_file.h"
#include "host/base/json_text.h"

namespace deadray {
namespace {

using Json = nlohmann::json;
using Texts = std::vector<std::string>;

constexpr std::string_view kBegin = "{\"model_type\":";

CataloguedNorm read_norm(const Json& json) {
  CataloguedNorm norm;
  norm.name = json.at("name");
  norm.also = json.value("also", Texts{});
  norm.scale = json.value("scale", norm.scale);
  norm.shift = json.value("shift", "");
  norm.not_predicted = json.value("why", "");
  norm.kind = json.at("kind") == "rmsnorm" ? NormKind::rmsnorm : NormKind::layernorm;
  norm.offset = json.value("offset", 0.0);
  if (const auto eps = json.find("eps"); eps != json.end()) {
    if (eps->is_string())
      norm.eps_key = *eps;
    else
      norm.eps = *eps;
  }
  norm.rows = json.value("rows", false);
  norm.is_final = json.value("final", false);
  norm.in_some = json.value("some", false);
  norm.reads = json.value("reads", Texts{});
  norm.tied = json.value("tied", Texts{});
  norm.read_by_these_alone = json.value("sole", false);
  return norm;
}

CataloguedType read_type(const Json& json) {
  CataloguedType type;
  type.model_type = json.at("model_type");
  type.failed = json.value("failed", "");
  type.prefixes = json.value("prefixes", Texts{""});
  for (const Json& norm : json.value("norms", Json::array())) type.norms.push_back(read_norm(norm));
  for (const Json& part : json.value("parts", Json::array()))
    type.parts.push_back({part.at("config"), part.value("model_type", ""), part.at("prefixes"),
                          part.value("final", false)});
  type.unscaled = json.value("unscaled", type.unscaled);
  return type;
}

}  // namespace

TypeCatalogue::TypeCatalogue(std::filesystem::path file) : file_(std::move(file)) {
  if (std::error_code ignored; !file_.empty() && std::filesystem::exists(file_, ignored))
    text_ = read_text_file(file_);
}

CataloguedType TypeCatalogue::parse(std::string_view line) const {
  try {
    return read_type(parse_json_object(std::string(line), file_));
  } catch (const Json::exception& error) {
    throw MalformedError(
        fmt::format("{}: not as scripts/norm_catalogue writes it: {}; install "
                    "deadray again",
                    file_.string(), on_one_line(error.what(), 160)));
  }
}

std::optional<CataloguedType> TypeCatalogue::find(std::string_view model_type) const {
  const std::string begin = fmt::format(
      "\n{}{},", kBegin, Json(model_type).dump(-1, ' ', false, Json::error_handler_t::replace));
  const std::size_t found = text_.find(begin);
  if (found == text_.npos) return std::nullopt;
  const std::size_t first = found + 1;
  return parse(std::string_view(text_).substr(first, text_.find('\n', first) - first));
}

std::vector<CataloguedType> TypeCatalogue::all() const {
  std::vector<CataloguedType> types;
  for (std::string_view rest = text_; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    if (line.starts_with(kBegin)) types.push_back(parse(line));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
  }
  return types;
}

std::vector<std::string> TypeCatalogue::names() const {
  std::vector<std::string> names;
  const std::string begin = fmt::format("\n{}\"", kBegin);
  for (std::size_t at = 0; (at = text_.find(begin, at)) != text_.npos;) {
    at += begin.size();
    names.push_back(text_.substr(at, text_.find('"', at) - at));
  }
  return names;
}

}  // namespace deadray
