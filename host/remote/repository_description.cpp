#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "host/base/error.h"
#include "host/base/json_text.h"
#include "host/remote/repository_fetch.h"
#include "host/remote/url.h"

namespace deadray {
namespace {

std::string api_url(const HubSettings& settings, const ModelName& name) {
  return fmt::format("{}/api/models/{}", settings.endpoint, quote_path(name.repository));
}

/// 404 without a reason: the repository alone tells which of the two is unknown.
void tell_apart(HttpClient& client, const ModelName& name, const AskedFor& asked,
                std::size_t depth) {
  HttpRequest request;
  request.url = api_url(client.settings(), name);
  request.what = name.repository;
  request.depth = depth + 1;
  client.send(std::move(request), [asked](const HttpResponse& response) {
    if (response.is_good()) refuse(asked, Refusal::no_revision, 404);
    const Refusal why = refusal_of(response);
    refuse(asked, why == Refusal::not_found ? Refusal::no_repository : why, response.status,
           response.tries);
  });
}

}  // namespace

std::string resolve_url(const HubSettings& settings, const ModelName& name,
                        const std::string& revision, const std::string& file) {
  return fmt::format("{}/{}/resolve/{}/{}", settings.endpoint, quote_path(name.repository),
                     quote_segment(revision), quote_path(file));
}

RepositoryDescription parse_description(const std::string& what, const std::string& body) {
  require_json(what, body);
  const nlohmann::json json = parse_json_object(body, what);
  const auto fail = [&](const std::string& problem) {
    throw MalformedError(fmt::format("{}: the hub's description of it {}", what, problem));
  };
  RepositoryDescription description;
  const auto commit = json.find("sha");
  if (commit == json.end() || !commit->is_string() || !is_commit(commit->get<std::string>()))
    fail(fmt::format("has {} as sha, expected a commit",
                     commit == json.end() ? "nothing" : show_json(*commit)));
  description.commit = commit->get<std::string>();
  const auto files = json.find("siblings");
  if (files == json.end() || !files->is_array()) fail("has no list of files ('siblings')");
  for (const nlohmann::json& file : *files) {
    const auto name = file.is_object() ? file.find("rfilename") : file.end();
    if (!file.is_object() || name == file.end() || !name->is_string())
      fail(fmt::format("has the file {}, expected one with an 'rfilename'", show_json(file)));
    // Of a name that leads out of its folder nothing is ever asked for.
    if (is_safe_path(name->get_ref<const std::string&>()))
      description.files.insert(name->get<std::string>());
  }
  return description;
}

void ask_description(
    HttpClient& client, const ModelName& name,
    std::function<void(RepositoryDescription description, std::size_t depth)> described) {
  const HubSettings& settings = client.settings();
  const AskedFor asked{shown_endpoint(settings), name.repository, name.revision, "",
                       !settings.token.empty()};
  HttpRequest request;
  request.url =
      fmt::format("{}/revision/{}", api_url(settings, name), quote_segment(name.revision));
  request.what = name.repository;
  client.send(std::move(request), [&client, name, asked, described](HttpResponse response) {
    if (refusal_of(response) == Refusal::not_found)
      return tell_apart(client, name, asked, response.depth);
    if (!response.is_good()) refuse(asked, response);
    described(parse_description(name.repository, response.body), response.depth);
  });
}

}  // namespace deadray
