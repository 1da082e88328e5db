#pragma once

#include "verify/ranks/launcher.h"

namespace deadray {

/// connected_ranks() for a command that shares its work out. What goes wrong is then told with the
/// rank's number, memory and, where `threads` is 0, cores are shared with the ranks of the host,
/// and a stop waits until the ranks agree on it (throw_if_any_stopped()).
Communicator& ranks_of_job(int threads);

}  // namespace deadray
