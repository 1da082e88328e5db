#pragma once

#include <memory>
#include <string>

#include "verify/device/backend.h"
#include "verify/ranks/communicator.h"

namespace deadray {

/// The backend that `--device` names; null for the CPU, whose backend is cpu_backend(). Of several
/// ranks on a host "cuda" is a device for each.
/// @throws UsageError for any other word, ResourceError where there is no such device
std::unique_ptr<Backend> backend_of_device(const std::string& name,
                                           const Communicator& ranks = one_process());

/// Which of the devices that it sees a rank takes: launchers show it one of its own, or all of the
/// host's.
/// @throws UsageError where there are too few
int device_of_rank(int visible, int rank_on_host, int ranks_on_host);

/// @throws UsageError unless `name` is cpu, cuda or cuda:N; asks no device
void check_device_name(const std::string& name);

}  // namespace deadray
