#include "verify/command/named_model.h"

#include "host/command/named_models.h"

namespace deadray {

std::filesystem::path find_weights_of(const std::filesystem::path& model, Source init,
                                      std::string_view command, bool download, bool quiet) {
  const bool configuration_only = init == Source::random && !download;
  return find_models({model.string()},
                     configuration_only ? HubPurpose::census : HubPurpose::weights, command,
                     download, quiet)
      .models.front()
      .path;
}

}  // namespace deadray
