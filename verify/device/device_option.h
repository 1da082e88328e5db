#pragma once

#include <memory>
#include <string>

#include "verify/device/backend.h"

namespace deadray {

/// The backend that `--device` names; null for the CPU, whose backend is cpu_backend().
/// @throws UsageError for any other word, ResourceError where there is no such device
std::unique_ptr<Backend> backend_of_device(const std::string& name);

/// @throws UsageError unless `name` is cpu, cuda or cuda:N; asks no device
void check_device_name(const std::string& name);

}  // namespace deadray
