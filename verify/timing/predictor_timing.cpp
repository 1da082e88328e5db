#include "verify/timing/predictor_timing.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "host/base/error.h"
#include "host/base/process/spawn.h"
#include "host/base/stop_signals.h"
#include "host/base/stopwatch.h"
#include "host/prediction/predictor.h"
#include "verify/base/tensors.h"

namespace deadray {
namespace {

/// Keeps the compiler from dropping the work that filled `values`.
template <class Values>
void keep(const Values& values) {
  asm volatile("" : : "g"(values.data()) : "memory");
}

template <class Work>
double seconds_of(int times, Work work) {
  const Stopwatch watch;
  for (int i = 0; i < times; ++i) work();
  return watch.seconds() / times;
}

struct Ended {
  int status = 0;
  std::string errors;  ///< what it wrote to standard error
};

/// Starts the program with its standard output thrown away, and waits for its end.
Ended run(const std::string& program, std::vector<std::string> arguments) {
  int errors[2];
  if (pipe2(errors, O_CLOEXEC) != 0)
    throw ResourceError(fmt::format("pipe: {}", std::strerror(errno)));
  arguments.insert(arguments.begin(), program);
  pid_t process = -1;
  try {
    process = spawn(program, std::move(arguments),
                    {{{STDOUT_FILENO, Descriptor::kNowhere}, {STDERR_FILENO, errors[1]}}});
  } catch (...) {
    close(errors[0]), close(errors[1]);
    throw;
  }
  close(errors[1]);
  Ended ended;
  char buffer[4096];
  for (ssize_t got = 0;
       (got = read(errors[0], buffer, sizeof buffer)) > 0 || (got < 0 && errno == EINTR);)
    if (got > 0) ended.errors.append(buffer, static_cast<std::size_t>(got));
  close(errors[0]);
  ended.status = wait_for_end(process);
  return ended;
}

/// The program's failure becomes an Error: the same exit code and, without the program's name, the
/// same line.
void expect_success(const Ended& ended, const std::string& program) {
  if (ended.status == 0) return;
  throw_if_stopped();  // the terminal's signal is for both of us
  if (!WIFEXITED(ended.status))
    throw InternalError(fmt::format("{}: ended by signal {}", program, WTERMSIG(ended.status)));
  std::string line = ended.errors.substr(0, ended.errors.find('\n'));
  if (constexpr std::string_view kPrefix = "deadray: "; line.starts_with(kPrefix))
    line.erase(0, kPrefix.size());
  throw Error(static_cast<ExitCode>(WEXITSTATUS(ended.status)), line);
}

}  // namespace

PredictorTiming time_predictor(std::int64_t hidden_size, int repetitions) {
  std::mt19937_64 generator(0);
  std::uniform_real_distribution<double> magnitude(0.1, 3.0);
  std::vector<double> gamma(static_cast<std::size_t>(hidden_size)), beta(gamma.size());
  for (double& g : gamma) g = magnitude(generator);
  for (double& b : beta) b = magnitude(generator) - 1.5;

  constexpr double kNever = std::numeric_limits<double>::infinity();
  PredictorTiming best{hidden_size, kNever, kNever};
  constexpr int kTimes = 1000;  // too short for one reading of the clock
  for (int i = 0; i < repetitions; ++i) {
    best.copy = std::min(best.copy, seconds_of(kTimes, [&] { keep(std::vector<double>(gamma)); }));
    best.predict = std::min(best.predict, seconds_of(kTimes, [&] {
                              keep(predict(NormKind::layernorm, gamma, beta).inverse);
                            }));
  }
  return best;
}

ProcessTiming time_process(const std::filesystem::path& program,
                           const std::vector<std::string>& arguments, int repetitions) {
  std::vector<double> seconds;
  for (int i = 0; i < repetitions; ++i)
    seconds.push_back(
        seconds_of(1, [&] { expect_success(run(program.string(), arguments), program.string()); }));
  return {least(seconds), median(seconds)};
}

std::filesystem::path program_beside_this(const char* name) {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / name;
}

}  // namespace deadray
