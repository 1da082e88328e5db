#include "host/hub/hub_program.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <system_error>

#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/base/json_text.h"
#include "host/hub/hub_process.h"

namespace deadray {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void throw_strange(const std::string& what) {
  throw InternalError(fmt::format("deadray-hub answered {}: is it of the same version?", what));
}

/// What it printed, which must be of the agreed form.
nlohmann::json ask(const HubProgram& program, std::vector<std::string> arguments) {
  if (program.quiet) arguments.insert(arguments.begin() + 1, "--quiet");
  const std::string text = run_hub(program, std::move(arguments));
  try {
    return parse_json_object(text, "deadray-hub");
  } catch (const MalformedError&) {
    throw_strange(in_quotes(std::string_view(text).substr(0, 80)) + ", no JSON");
  }
}

FetchedModel model_in(const nlohmann::json& json) {
  const auto text = [&](const char* key) {
    const auto found = json.find(key);
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  FetchedModel model{text("folder"), text("revision"), text("commit"), text("endpoint")};
  if (const std::string file = text("file"); !file.empty()) model.path /= file;
  if (text("source") == "cache") model.endpoint.clear();
  std::error_code ignored;
  if (!fs::exists(model.path, ignored)) throw_strange("a folder that is not there");
  return model;
}

HubAnswer answer_in(const nlohmann::json& json, std::size_t n_models) {
  if (json.value("schema", "") != "deadray/hub/1") throw_strange("in another schema");
  HubAnswer answer;
  for (const nlohmann::json& model : json.at("models")) answer.models.push_back(model_in(model));
  if (answer.models.size() != n_models)
    throw_strange(fmt::format("for {} models, not {}", answer.models.size(), n_models));
  answer.traffic = {json.at("bytes").get<std::uint64_t>(), json.at("requests").get<std::uint64_t>(),
                    json.at("round_trips").get<std::uint64_t>(), json.value("seconds", 0.0)};
  return answer;
}

/// Keys of another type are a program of another version, too.
template <class Read>
auto agreed(Read read) {
  try {
    return read();
  } catch (const nlohmann::json::exception& error) {
    throw_strange(fmt::format("otherwise than agreed ({})", error.what()));
  }
}

}  // namespace

HubAnswer fetch_from_hub(const HubProgram& program, std::string_view purpose,
                         const std::vector<std::string>& names) {
  std::vector<std::string> arguments{"fetch", "--for", std::string(purpose)};
  arguments.insert(arguments.end(), names.begin(), names.end());
  const nlohmann::json json = ask(program, std::move(arguments));
  return agreed([&] { return answer_in(json, names.size()); });
}

HubAnswer download_from_hub(const HubProgram& program, const std::string& name) {
  const nlohmann::json json = ask(program, {"download", name});
  return agreed([&] { return answer_in(json, 1); });
}

std::vector<std::string> hub_revisions(const HubProgram& program, const std::string& repository) {
  const nlohmann::json json = ask(program, {"revisions", repository});
  return agreed([&] {
    std::vector<std::string> names;
    for (const nlohmann::json& revision : json.at("revisions"))
      names.push_back(revision.at("name").get<std::string>());
    return names;
  });
}

}  // namespace deadray
