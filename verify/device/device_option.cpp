#include "verify/device/device_option.h"

#include <fmt/format.h>

#include "host/base/error.h"
#include "verify/device/cuda_backend.h"
#include "verify/module/device_module.h"

namespace deadray {

void check_device_name(const std::string& name) {
  if (name != "cpu" && !cuda_index(name))
    throw UsageError(fmt::format("--device {}: expected cpu, cuda or cuda:N", name));
}

int device_of_rank(int visible, int rank_on_host, int ranks_on_host) {
  if (visible == 1) return 0;
  if (visible < ranks_on_host)
    throw UsageError(
        fmt::format("--device cuda: {} ranks on this host see {} devices: start as many as there "
                    "are, or let the launcher show each rank its own",
                    ranks_on_host, visible));
  return rank_on_host;
}

std::unique_ptr<Backend> backend_of_device(const std::string& name, const Communicator& ranks) {
  check_device_name(name);
  if (name == "cpu") return nullptr;
  try {
    if (name == "cuda" && ranks.size() > 1)
      return make_cuda_backend(
          device_of_rank(visible_devices(), ranks.rank_on_host(), ranks.ranks_on_host()));
    return make_cuda_backend(*cuda_index(name));
  } catch (const ResourceError& error) {
    throw ResourceError(fmt::format(
        "--device {}: {}; build the target deadray_cuda for a GPU, or give --device cpu", name,
        error.what()));
  }
}

}  // namespace deadray
