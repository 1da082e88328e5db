#include "host/remote/repository_refs.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "host/base/error.h"
#include "host/base/json_text.h"
#include "host/remote/response_errors.h"
#include "host/remote/url.h"

namespace deadray {

Revisions parse_revisions(const std::string& what, const std::string& body) {
  require_json(what, body);
  const nlohmann::json json = parse_json_object(body, what);
  Revisions revisions;
  for (const char* kind : {"branches", "tags"}) {
    const auto list = json.find(kind);
    if (list == json.end() || !list->is_array())
      throw MalformedError(
          fmt::format("{}: the hub's list of revisions has no list of {}", what, kind));
    for (const nlohmann::json& one : *list) {
      const auto text = [&](const char* key) {
        const auto found = one.is_object() ? one.find(key) : one.end();
        return one.is_object() && found != one.end() && found->is_string()
                   ? found->get<std::string>()
                   : std::string();
      };
      const std::string name = text("name"), commit = text("targetCommit");
      if (!is_safe_path(name) || !is_commit(commit))
        throw MalformedError(fmt::format(
            "{}: the hub's list of revisions has {}, expected a 'name' and a 'targetCommit'", what,
            show_json(one)));
      revisions.emplace_back(name, commit);
    }
  }
  return revisions;
}

void ask_revisions(HttpClient& client, const ModelName& name, Revisions& result) {
  const HubSettings& settings = client.settings();
  if (settings.offline)
    throw NetworkError(fmt::format(
        "{}: offline (HF_HUB_OFFLINE is set): its revisions are the hub's to say; name them",
        name.repository));
  HttpRequest request;
  request.url =
      fmt::format("{}/api/models/{}/refs", settings.endpoint, quote_path(name.repository));
  request.what = name.repository;
  const AskedFor asked{shown_endpoint(settings), name.repository, "", "", !settings.token.empty()};
  client.send(std::move(request), [asked, &result](const HttpResponse& response) {
    if (refusal_of(response) == Refusal::not_found)
      refuse(asked, Refusal::no_repository, response.status);
    if (!response.is_good()) refuse(asked, response);
    result = parse_revisions(asked.repository, response.body);
  });
}

}  // namespace deadray
