#include "verify/suite/suite.h"

#include <gtest/gtest.h>

#include "verify/base/machine.h"
#include "verify/suite/suite_report.h"

namespace deadray::test {
namespace {

using State = Outcome::State;

ExitCode code_of(std::vector<Outcome> outcomes) { return exit_code_of(outcomes); }

TEST(SuiteTest, EndsWithTheWorstThatHappened) {
  const Outcome done{State::measured, ExitCode::done, {}, {}},
      kept{State::kept, ExitCode::done, {}, {}};
  const Outcome refuted{State::kept, ExitCode::refuted, {}, {}},
      undetermined{State::measured, ExitCode::undetermined, {}, {}};
  const Outcome broken{State::failed, ExitCode::malformed, "x", {}},
      unknown{State::failed, ExitCode::unsupported, "x", {}};
  const Outcome absent{State::not_downloaded, ExitCode::network, "x", {}};
  EXPECT_EQ(code_of({done, kept}), ExitCode::done);
  EXPECT_EQ(code_of({done, absent, kept}), ExitCode::network);
  EXPECT_EQ(code_of({absent, undetermined}), ExitCode::undetermined);
  EXPECT_EQ(code_of({undetermined, absent, unknown, broken}), ExitCode::unsupported)
      << "the first that failed";
  EXPECT_EQ(code_of({unknown, undetermined, absent, refuted}), ExitCode::refuted);
}

TEST(SuiteTest, QuotesACommandAsAShellTakesIt) {
  EXPECT_EQ(command_line({"deadray", "a b", "it's", "", "x/y_z-1.json"}),
            R"(deadray 'a b' 'it'\''s' '' x/y_z-1.json)");
}

// What is not the default is in the command, so that it gives the same record again; what is, is
// not.
TEST(SuiteTest, WritesOnlyWhatIsNotTheDefaultIntoTheCommand) {
  SuiteOptions options;
  options.roster = "r.json", options.out = "out", options.resume = true;
  Row row;
  row.entry.name = "m";
  EXPECT_EQ(command_line(row_arguments(options, row)),
            "deadray suite r.json --init random --only m --out out");
  options.site = "all", options.seed = 3, options.no_residual = true, options.relative_tau = 1e-7,
  options.checkpoint.strict = true;
  const std::string command = command_line(row_arguments(options, row));
  for (const char* part :
       {" --site all", " --seed 3", " --no-residual", " --tau 1e-07", " --strict"})
    EXPECT_NE(command.find(part), std::string::npos) << part << " in " << command;
}

TEST(SuiteTest, SeesMemoryThatWasHeldAndGivenBack) {
  const std::int64_t before = peak_memory_bytes();
  constexpr std::size_t kBytes = std::size_t{256} << 20;
  {
    std::vector<char>(kBytes, 'x').at(kBytes / 2);
  }
  EXPECT_GE(peak_memory_bytes(), before + static_cast<std::int64_t>(kBytes) / 2);
  EXPECT_GE(this_machine().memory_bytes, peak_memory_bytes());
  EXPECT_GE(this_machine().cores, 1);
  EXPECT_FALSE(this_machine().cpu.empty());
}

}  // namespace
}  // namespace deadray::test
