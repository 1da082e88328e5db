#pragma once

namespace deadray {

/// torchrun and srun start copies of a program that are to share its work. Ours shares nothing:
/// each would measure everything, and replace the others' records.
/// @throws UsageError where the environment says that this is one of several processes, with what
/// it says and what to do
void refuse_several_processes();

}  // namespace deadray
