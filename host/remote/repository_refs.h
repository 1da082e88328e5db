#pragma once

#include <string>
#include <utility>
#include <vector>

#include "host/remote/http_client.h"
#include "host/remote/model_name.h"

namespace deadray {

/// Branches, then tags, with the commits that they name, in the hub's order.
using Revisions = std::vector<std::pair<std::string, std::string>>;

/// @param result  filled in by the client's run()
/// @throws NetworkError offline
void ask_revisions(HttpClient& client, const ModelName& name, Revisions& result);

/// @param what  for messages
/// @throws MalformedError where the answer is something else
Revisions parse_revisions(const std::string& what, const std::string& body);

}  // namespace deadray
