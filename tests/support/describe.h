#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "host/architecture/architecture.h"
#include "tests/support/errors.h"

namespace deadray::test {

/// The architecture of a configuration with some keys changed.
inline Architecture describe(nlohmann::json config,
                             const nlohmann::json& changes = nlohmann::json::object()) {
  config.update(changes);
  return describe_architecture(Config::parse(config.dump(), "model/config.json"));
}

/// The message with which it is refused, by who describes it or by who would run it.
inline std::string refusal(const nlohmann::json& config, const nlohmann::json& changes,
                           ExitCode code = ExitCode::unsupported) {
  return message_of(code, [&] { require_runnable(describe(config, changes)); });
}

}  // namespace deadray::test
