#include "host/remote/response_errors.h"

#include <fmt/format.h>

#include <string_view>

#include "host/base/error.h"
#include "host/base/in_quotes.h"

namespace deadray {
namespace {

std::string of_url(const AskedFor& asked, Refusal why, int status, int tries) {
  switch (why) {
    case Refusal::gated:
    case Refusal::not_allowed:
    case Refusal::disabled:
      return fmt::format("not allowed (status {}): {}", status,
                         asked.with_token
                             ? "the token of HF_TOKEN goes to HF_ENDPOINT alone; is it a file of "
                               "that server, and may you read it?"
                             : "set HF_TOKEN, if it is a file of the hub that HF_ENDPOINT names");
    case Refusal::no_repository:
    case Refusal::no_revision:
    case Refusal::no_file:
    case Refusal::not_found:
      return fmt::format("no such file there (status {}): check the URL", status);
    case Refusal::too_many:
      return fmt::format("too many requests (status 429, {} tries): wait a while", tries);
    case Refusal::broken:
      return fmt::format("the server is out of order (status {}, {} tries): try again later",
                         status, tries);
    case Refusal::other:
      break;
  }
  return fmt::format("the server answers with status {}, expected the file", status);
}

std::string of_repository(const AskedFor& asked, Refusal why, int status, int tries) {
  const std::string revision = asked.revision.empty() ? "main" : asked.revision;
  switch (why) {
    case Refusal::gated:
      return fmt::format("is gated: accept its licence at {}/{} and set HF_TOKEN{}", asked.endpoint,
                         asked.repository, asked.with_token ? " to a token of that account" : "");
    case Refusal::not_allowed:
      return asked.with_token
                 ? "unknown repository, or private and not yours to read: check the name, and that "
                   "HF_TOKEN is valid"
                 : "unknown repository, or private: check the name, or set HF_TOKEN";
    case Refusal::disabled:
      return fmt::format("is disabled by {}: choose another model", asked.endpoint);
    case Refusal::no_repository:
      return fmt::format("no such repository at {}: check the name{}", asked.endpoint,
                         asked.with_token ? "" : ", or set HF_TOKEN if it is private");
    case Refusal::no_revision:
      return fmt::format("no revision {} of it at {}: check the part behind '@'",
                         in_quotes(revision), asked.endpoint);
    case Refusal::no_file:
    case Refusal::not_found:
      return fmt::format("no file {} at revision {} of it, says {}", in_quotes(asked.file),
                         in_quotes(revision), asked.endpoint);
    case Refusal::too_many:
      return fmt::format("too many requests to {} (status 429, {} tries): wait a while{}",
                         asked.endpoint, tries, asked.with_token ? "" : ", or set HF_TOKEN");
    case Refusal::broken:
      return fmt::format("{} is out of order (status {}, {} tries): try again later",
                         asked.endpoint, status, tries);
    case Refusal::other:
      break;
  }
  return fmt::format("{} answers with status {}, expected {}", asked.endpoint, status,
                     asked.file.empty() ? "its description" : "file " + in_quotes(asked.file));
}

}  // namespace

Refusal refusal_of(const HttpResponse& response) {
  const std::string code = header(response.first_headers, "x-error-code");
  if (code == "GatedRepo") return Refusal::gated;
  if (code == "DisabledRepo") return Refusal::disabled;
  if (response.status == 401) return Refusal::not_allowed;
  if (code == "RepoNotFound") return Refusal::no_repository;
  if (code == "RevisionNotFound") return Refusal::no_revision;
  if (code == "EntryNotFound") return Refusal::no_file;
  if (response.status == 403) return Refusal::gated;
  if (response.status == 404 || response.status == 410) return Refusal::not_found;
  if (response.status == 429) return Refusal::too_many;
  return response.status >= 500 ? Refusal::broken : Refusal::other;
}

void refuse(const AskedFor& asked, const HttpResponse& response) {
  refuse(asked, refusal_of(response), response.status, response.tries);
}

void refuse(const AskedFor& asked, Refusal why, int status, int tries) {
  throw NetworkError(fmt::format("{}: {}", asked.repository,
                                 asked.endpoint.empty()
                                     ? of_url(asked, why, status, tries)
                                     : of_repository(asked, why, status, tries)));
}

void require_json(const std::string& what, const std::string& body) {
  const std::size_t first = body.find_first_not_of(" \t\r\n");
  if (first != body.npos && body[first] == '{') return;
  throw MalformedError(fmt::format(
      "{}: the server answers {}, expected a JSON object: is HF_ENDPOINT a hub, and is there no "
      "proxy or login page between?",
      what,
      first == body.npos ? "nothing" : "a text that begins " + in_quotes(body.substr(first, 40))));
}

}  // namespace deadray
