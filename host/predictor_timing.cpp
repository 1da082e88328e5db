#include "host/predictor_timing.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "host/error.h"
#include "host/predictor.h"

extern char** environ;

namespace deadray {
namespace {

/// Keeps the compiler from dropping the work that filled `values`.
template <class Values>
void keep(const Values& values) {
  asm volatile("" : : "g"(values.data()) : "memory");
}

template <class Work>
double seconds_of(int times, Work work) {
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < times; ++i) work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / times;
}

void run_once(const std::string& program, const std::string& model) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  char* const argv[] = {const_cast<char*>("deadray"), const_cast<char*>("predict"), const_cast<char*>(model.c_str()), nullptr};
  pid_t process = 0;
  const int failed = posix_spawn(&process, program.c_str(), &actions, nullptr, argv, environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) throw ResourceError(fmt::format("{}: {}", program, std::strerror(failed)));
  int status = 0;
  waitpid(process, &status, 0);
  if (status != 0) throw InternalError(fmt::format("{} predict {} failed", program, model));
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
    best.predict = std::min(best.predict, seconds_of(kTimes, [&] { keep(predict(NormKind::layernorm, gamma, beta).inverse); }));
  }
  return best;
}

ProcessTiming time_process(const std::filesystem::path& deadray, const std::filesystem::path& model, int repetitions) {
  std::vector<double> seconds;
  for (int i = 0; i < repetitions; ++i) seconds.push_back(seconds_of(1, [&] { run_once(deadray.string(), model.string()); }));
  std::sort(seconds.begin(), seconds.end());
  return {seconds.front(), seconds[seconds.size() / 2]};
}

}  // namespace deadray
