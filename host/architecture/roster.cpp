#include "host/architecture/roster.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/base/input_file.h"
#include "host/base/json_text.h"
#include "host/base/near_names.h"

namespace deadray {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kSchema = "deadray/roster/1";

/// One object of the file with typed access; every complaint names file, place and key.
class Fields {
 public:
  Fields(const Json& object, std::string where) : object_(object), where_(std::move(where)) {}

  const std::string& where() const noexcept { return where_; }

  [[noreturn]] void complain(std::string_view key, std::string_view expected) const {
    const auto found = object_.find(key);
    throw MalformedError(fmt::format("{}: key {} is {}, expected {}", where_, in_quotes(key),
                                     found == object_.end() ? "missing" : show_json(*found),
                                     expected));
  }

  const Json* find(std::string_view key) {
    known_.insert(std::string(key));
    const auto found = object_.find(key);
    return found == object_.end() ? nullptr : &*found;
  }

  std::string text(std::string_view key, std::string_view expected = "a string that is not empty") {
    const Json* value = find(key);
    if (!value) return {};
    if (!value->is_string() || value->get_ref<const std::string&>().empty())
      complain(key, expected);
    return value->get<std::string>();
  }

  std::int64_t count(std::string_view key) {
    const Json* value = find(key);
    if (!value) return 0;
    if (!value->is_number_unsigned() || *value == 0 || *value > std::uint64_t{1} << 62)
      complain(key, "an integer of at least 1");
    return value->get<std::int64_t>();
  }

  /// To be called once every key has been asked for.
  void refuse_unknown_keys() const {
    const std::vector<std::string> known(known_.begin(), known_.end());
    for (const auto& [key, value] : object_.items())
      if (!known_.contains(key))
        throw MalformedError(fmt::format("{}: unknown key {}{}; docs/suite.md lists them", where_,
                                         in_quotes(key), did_you_mean(key, known)));
  }

 private:
  const Json& object_;
  std::string where_;
  std::set<std::string> known_;
};

bool is_name(std::string_view text) {
  const auto allowed = [](unsigned char c) {
    return std::isalnum(c) || c == '.' || c == '_' || c == '-';
  };
  return !text.empty() && text.front() != '.' && text.front() != '-' &&
         std::all_of(text.begin(), text.end(), allowed);
}

bool is_hub_id(std::string_view text) {
  const std::size_t slash = text.find('/');
  return is_name(text.substr(0, slash)) &&
         (slash == std::string_view::npos || is_name(text.substr(slash + 1)));
}

/// A branch, tag or commit: parts between slashes, none of which leads out of a folder.
bool is_revision(std::string_view text) {
  for (std::size_t start = 0; start <= text.size();) {
    const std::size_t end = std::min(text.find('/', start), text.size());
    if (!is_name(text.substr(start, end - start))) return false;
    start = end + 1;
  }
  return true;
}

std::optional<NormKind> norm_of(Fields& fields) {
  const std::string name = fields.text("norm");
  for (const NormKind kind : {NormKind::layernorm, NormKind::rmsnorm})
    if (name == to_string(kind)) return kind;
  if (!name.empty()) fields.complain("norm", "'layernorm' or 'rmsnorm'");
  return {};
}

std::string gate_of(Fields& fields) {
  const Json* value = fields.find("gated");
  if (!value || *value == false) return {};
  return *value == true ? "its licence must be accepted on the model's page first"
                        : fields.text("gated", "true, false, or why as a string");
}

std::filesystem::path path_of(Fields& fields, std::string_view key,
                              const std::filesystem::path& folder) {
  const std::string text = fields.text(key);
  return text.empty() ? std::filesystem::path() : (folder / text).lexically_normal();
}

RosterEntry read_entry(const Json& object, const std::filesystem::path& file, std::size_t index) {
  const std::string place = fmt::format("{}: models[{}]", file.string(), index);
  if (!object.is_object())
    throw MalformedError(fmt::format("{} is {}, expected an object", place, show_json(object)));
  const auto name = object.find("name");
  if (name == object.end() || !name->is_string() || !is_name(name->get_ref<const std::string&>()))
    Fields(object, place).complain("name", "letters, digits, '.', '_' and '-'");

  RosterEntry entry;
  entry.name = name->get<std::string>();
  Fields fields(object, fmt::format("{}: {}", file.string(), entry.name));
  fields.find("name");
  entry.hf_id = fields.text("hf_id");
  if (!entry.hf_id.empty() && !is_hub_id(entry.hf_id))
    fields.complain("hf_id", "ORGANISATION/NAME");
  entry.revision = fields.text("revision");
  if (!entry.revision.empty() && !is_revision(entry.revision))
    fields.complain("revision", "a branch, a tag or a commit");
  entry.path = path_of(fields, "path", file.parent_path());
  entry.config_name = fields.where() + ": config";
  if (const Json* config = fields.find("config")) {
    if (!config->is_object()) fields.complain("config", "the object of a config.json");
    entry.config = config->dump();
  }
  entry.norm = norm_of(fields);
  if (const std::int64_t parameters = fields.count("parameters")) entry.parameters = parameters;
  entry.gated = gate_of(fields);
  entry.calibration = path_of(fields, "calibration", file.parent_path());
  entry.sequence_length = fields.count("sequence_length");
  for (const char* for_people : {"modality", "licence", "note"}) fields.text(for_people);
  fields.refuse_unknown_keys();
  if (entry.config.empty() && entry.path.empty())
    throw MalformedError(fmt::format(
        "{}: neither 'config' nor 'path': give the object of its config.json, or a local folder",
        fields.where()));
  return entry;
}

}  // namespace

Roster read_roster(const std::filesystem::path& file) {
  std::string text = read_text_file(file);
  const Json json = parse_json_object(text, file);
  Fields fields(json, file.string());
  if (fields.text("schema") != kSchema)
    fields.complain("schema", fmt::format("'{}'; is it a roster?", kSchema));
  Roster roster{file, fields.text("note"), std::move(text), {}};
  const Json* models = fields.find("models");
  if (!models || !models->is_array() || models->empty())
    fields.complain("models", "a list of at least one model");
  fields.refuse_unknown_keys();
  std::set<std::string> names;
  for (std::size_t i = 0; i < models->size(); ++i) {
    roster.models.push_back(read_entry((*models)[i], file, i));
    if (!names.insert(roster.models.back().name).second)
      throw MalformedError(fmt::format("{}: models[{}]: a second model of the name {}",
                                       file.string(), i, in_quotes(roster.models.back().name)));
  }
  return roster;
}

std::vector<RosterEntry> select_models(const Roster& roster,
                                       const std::vector<std::string>& names) {
  if (names.empty()) return roster.models;
  std::vector<std::string> known;
  for (const RosterEntry& entry : roster.models) known.push_back(entry.name);
  for (const std::string& name : names)
    if (std::find(known.begin(), known.end(), name) == known.end())
      throw UsageError(fmt::format("{}: no model {}{}", roster.file.string(), in_quotes(name),
                                   did_you_mean(name, known)));
  std::vector<RosterEntry> chosen;
  for (const RosterEntry& entry : roster.models)
    if (std::find(names.begin(), names.end(), entry.name) != names.end()) chosen.push_back(entry);
  return chosen;
}

}  // namespace deadray
