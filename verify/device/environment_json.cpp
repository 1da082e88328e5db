#include "verify/device/environment_json.h"

#include <ATen/Parallel.h>
#include <torch/headeronly/version.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "host/base/version.h"
#include "verify/base/machine.h"

namespace deadray {

using Json = nlohmann::ordered_json;

nlohmann::ordered_json environment_json(const Backend& backend,
                                        const std::vector<std::string>& hosts) {
  const auto cuda = backend.cuda_version();
  return {{"version", version()},
          {"commit", build_commit()},
          {"device", backend.description()},
          {"threads", at::get_num_threads()},
          {"ranks", std::max<std::size_t>(hosts.size(), 1)},
          {"hosts", hosts.empty() ? Json(nullptr) : Json(hosts)},
          {"libtorch", TORCH_VERSION},
          {"cuda", cuda ? Json(*cuda) : Json(nullptr)}};
}

}  // namespace deadray
