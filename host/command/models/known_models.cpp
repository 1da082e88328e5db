#include "host/command/models/known_models.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/base/input_file.h"
#include "host/base/json_text.h"

namespace deadray {

KnownModels read_known_models(const std::filesystem::path& file) {
  const nlohmann::json json = parse_json_object(read_text_file(file), file);
  KnownModels known;
  try {
    const nlohmann::json& roster = json.at("roster");
    known.note = roster.at("note");
    for (const nlohmann::json& model : roster.at("models")) {
      const nlohmann::json& config = model.at("config");
      known.roster.push_back({model.at("name"), config.at("model_type"), model.at("hf_id"),
                              model.at("norm"), model.at("parameters"), config.dump()});
    }
    known.fixtures = json.at("fixtures").get<std::map<std::string, int>>();
    for (const nlohmann::json& record : json.at("records"))
      known.records.push_back(
          {record.at("name"), record.at("family"), record.at("init"), record.at("verdict")});
  } catch (const nlohmann::json::exception& error) {
    throw MalformedError(fmt::format("{}: not as deadray's build writes it: {}; install it again",
                                     file.string(), on_one_line(error.what(), 160)));
  }
  return known;
}

}  // namespace deadray
