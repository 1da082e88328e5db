#pragma once

#include <functional>

#include "verify/ranks/communicator.h"

// mpirun and srun start several copies of a program that are to share its work. They find each
// other through MPI, in a module that only such a copy loads: libdeadray_mpi.so beside the program.
namespace deadray {

/// The ranks of the job that this process belongs to; one_process() where the environment names no
/// launcher. The first call connects them: collective.
///
/// A rank that dies is noticed by the launcher. One that gives no sign of life for
/// DEADRAY_RANK_TIMEOUT seconds (20), stopped or on a host that is gone, and one that others wait
/// for longer than DEADRAY_RANK_WAIT seconds (3600), end the job: one line names it, exit code 6.
/// @throws UsageError where several processes were started that MPI does not connect, or by
///     torchrun; ResourceError where the module is missing or MPI does not start
Communicator& connected_ranks();

/// For what cannot be shared out: each process would do everything, and replace the others' files.
/// @param instead  what to do
/// @throws UsageError where the environment says that this is one of several processes
void refuse_several_processes(const char* instead);

/// Runs a program's body, and ends the ranks that it has connected: together where all reached the
/// end. What one throws is passed on; rank 0 may speak first.
int run_with_ranks(const std::function<int()>& body);
/// To be called last, with the exit code: ends the other ranks too where this one has failed.
int end_ranks(int exit_code);

}  // namespace deadray
