#include "verify/ranks/launcher.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/support/errors.h"
#include "tests/support/variable.h"

namespace deadray {
namespace {

using test::contains;
using test::message_of;
using test::Variable;

/// Without the variables that a launcher of the tests themselves may have set.
class LauncherTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* variable : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS",
                                 "WORLD_SIZE", "PMIX_NAMESPACE", "PMI_FD", "PMI_RANK"})
      unsetenv(variable);
  }
};

TEST_F(LauncherTest, WithoutALauncherThereIsOneProcess) {
  EXPECT_EQ(connected_ranks().size(), 1);
  EXPECT_NO_THROW(refuse_several_processes("start one"));
}

TEST_F(LauncherTest, OneOfOneIsNoJob) {
  const Variable size("OMPI_COMM_WORLD_SIZE", "1");
  EXPECT_EQ(connected_ranks().size(), 1);
}

TEST_F(LauncherTest, TorchrunIsRefusedWithAWayOut) {
  const Variable size("WORLD_SIZE", "4");
  const std::string message = message_of(ExitCode::usage, [] { connected_ranks(); });
  EXPECT_TRUE(contains(message, "WORLD_SIZE is 4"));
  EXPECT_TRUE(contains(message, "mpirun or srun"));
}

TEST_F(LauncherTest, WhatIsNotSharedOutIsRefused) {
  const Variable size("SLURM_STEP_NUM_TASKS", "3");
  const std::string message =
      message_of(ExitCode::usage, [] { refuse_several_processes("start one"); });
  EXPECT_TRUE(contains(message, "SLURM_STEP_NUM_TASKS is 3"));
  EXPECT_TRUE(contains(message, "start one"));
}

TEST_F(LauncherTest, SrunWithoutMpiIsRefusedWithAWayOut) {
  const Variable size("SLURM_STEP_NUM_TASKS", "3");
  EXPECT_TRUE(contains(message_of(ExitCode::usage, [] { connected_ranks(); }), "--mpi=pmix"));
}

// The tests lie in a folder without the module.
TEST_F(LauncherTest, AMissingModuleIsNamed) {
  const Variable size("OMPI_COMM_WORLD_SIZE", "2");
  const std::string message = message_of(ExitCode::resources, [] { connected_ranks(); });
  EXPECT_TRUE(contains(message, "libdeadray_mpi.so"));
}

TEST_F(LauncherTest, OddSecondsAreRefused) {
  const Variable size("OMPI_COMM_WORLD_SIZE", "2"), silence("DEADRAY_RANK_TIMEOUT", "soon");
  EXPECT_TRUE(contains(message_of(ExitCode::usage, [] { connected_ranks(); }),
                       "DEADRAY_RANK_TIMEOUT is 'soon'"));
}

}  // namespace
}  // namespace deadray
