#pragma once

#include <string>

#include "host/hub/resolve_models.h"

namespace deadray {

/// What is given if something is there; else what the hub's caches hold of that name, which is
/// "org/name", "org/name@revision" or a URL, or what deadray-hub fetches. Of anything else the
/// reader says what it says of a path.
/// @throws Error with the message of deadray-hub, NetworkError where it could not be fetched;
/// ResourceError where there is no deadray-hub beside Python or on the PATH
ResolvedModels find_model(const std::string& given, HubPurpose purpose);

}  // namespace deadray
