#pragma once

#include <string>

#include "host/remote/http_message.h"

namespace deadray {

/// What was asked for, as messages name it.
struct AskedFor {
  std::string endpoint;    ///< of the hub; empty: a URL of any server
  std::string repository;  ///< "org/name"; or the URL
  std::string revision;    ///< branch, tag or commit
  std::string file;        ///< empty: the repository itself
  bool with_token = false;
};

/// An answer that is not the file.
enum class Refusal {
  gated,
  not_allowed,  ///< 401: unknown, or private
  disabled,
  no_repository,
  no_revision,
  no_file,
  not_found,  ///< 404, and the server does not say which of the three
  too_many,   ///< 429
  broken,     ///< 5xx
  other,
};

/// By status and the hub's X-Error-Code.
Refusal refusal_of(const HttpResponse& response);

/// @throws NetworkError saying what is refused and what to do
[[noreturn]] void refuse(const AskedFor& asked, const HttpResponse& response);
[[noreturn]] void refuse(const AskedFor& asked, Refusal why, int status, int tries = 1);

/// @throws MalformedError where an answer that should be a JSON object begins as something else
void require_json(const std::string& what, const std::string& body);

}  // namespace deadray
