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

std::unique_ptr<Backend> backend_of_device(const std::string& name) {
  check_device_name(name);
  if (name == "cpu") return nullptr;
  try {
    return make_cuda_backend(*cuda_index(name));
  } catch (const ResourceError& error) {
    throw ResourceError(fmt::format(
        "--device {}: {}; build the target deadray_cuda for a GPU, or give --device cpu", name,
        error.what()));
  }
}

}  // namespace deadray
