#include "verify/command/timing_bench.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>

#include "host/base/error.h"
#include "host/base/output.h"
#include "host/base/progress.h"
#include "host/base/stop_signals.h"
#include "host/base/table/table.h"
#include "host/command/json_output.h"
#include "verify/device/device_option.h"
#include "verify/device/memory.h"
#include "verify/timing/timing_methods.h"
#include "verify/timing/timing_peers.h"
#include "verify/timing/timing_record.h"

namespace deadray {
namespace {

/// Whether deadray has a way of its own to it, on rows without a model.
bool is_own_on_rows(TimingMethod method) {
  return method != TimingMethod::forward &&
         std::find(kOwnMethods.begin(), kOwnMethods.end(), method) != kOwnMethods.end();
}

/// A temporary folder; its end removes it with what is in it.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "deadray-timing-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr)
      throw ResourceError(fmt::format("{}: no folder can be made there", name));
    path_ = name;
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

class TimingBench {
 public:
  explicit TimingBench(const TimingOptions& options)
      : options_(options), json_(options.output.json, {options.models, {options.peers}}) {
    for (const std::string& name : options.devices) {
      devices_.push_back(backend_of_device(name));
      backends_.push_back(devices_.back() ? devices_.back().get() : &cpu_backend());
    }
    run_.repetitions = options.turns.repetitions;
    run_.budget = options.turns.budget;
    run_.limit = options.turns.limit;
  }

  void measure_synthetic(std::int64_t d) {
    if (const std::string why = no_room_for(synthetic_rows(d), d, cpu_backend()); !why.empty()) {
      for (const Backend* backend : backends_) skip(d, {}, *backend, why);
      return save();
    }
    const TimingProblem problem = synthetic_problem(d);
    measure(problem, {}, {});
  }

  void measure_model(const std::filesystem::path& path) {
    std::vector<std::unique_ptr<TimedForward>> forwards;
    for (Backend* backend : backends_)
      forwards.push_back(
          std::make_unique<TimedForward>(path, options_.init == Source::random, *backend));
    const TimingProblem problem = forwards.front()->problem();
    measure(problem, path, forwards);
  }

  /// Writes what there is, also after a stop or a failure.
  void deliver(bool complete) {
    if (run_.rows.empty()) return;
    run_.complete = complete;
    json_.write(timing_record(run_, *backends_.back()));
    if (options_.output.table_wanted())
      write_output(timing_text(run_, colour_allowed(STDOUT_FILENO, options_.output.no_color)));
  }

 private:
  void measure(const TimingProblem& problem, const std::filesystem::path& model,
               const std::vector<std::unique_ptr<TimedForward>>& forwards) {
    const ScratchFolder scratch;
    std::vector<std::string> predict = {"predict", model.string(), "--site", "final"};
    if (forwards.empty() || options_.init == Source::random) {
      write_norm_folder(scratch.path(), problem);
      predict = {"predict", scratch.path().string(), "--norm",
                 std::string(to_string(problem.site.kind))};
    }
    std::vector<Contender> contenders;
    for (std::size_t i = 0; i < backends_.size(); ++i) {
      if (const std::string why =
              no_room_for(problem.rows.size(0), problem.hidden_size(), *backends_[i]);
          !why.empty()) {
        skip(problem.hidden_size(), problem.model, *backends_[i], why);
        continue;
      }
      const auto own = own_contenders(options_.methods, place(problem, *backends_[i]),
                                      forwards.empty() ? nullptr : forwards[i].get(), predict);
      contenders.insert(contenders.end(), own.begin(), own.end());
    }
    const TimedProblem timed{problem.hidden_size(), problem.rows.size(0), problem.model};
    run_.problems.push_back(timed);
    std::unique_ptr<PeerProcess> peers;
    if (!options_.peers.empty()) {
      const std::filesystem::path file = scratch.path() / "problem.safetensors";
      write_problem(file, problem, forwards.empty() ? nullptr : forwards.front().get(), model);
      peers = std::make_unique<PeerProcess>(options_.peers, file, options_.methods,
                                            at::get_num_threads());
      std::filesystem::remove(file);  // it has read it
      contenders.insert(contenders.end(), peers->contenders().begin(), peers->contenders().end());
    }
    Progress progress(
        fmt::format("{}d = {}:", timed.model.empty() ? "" : timed.model + ", ", timed.d),
        options_.output.quiet);
    take_turns(contenders, timed, options_.turns, progress, run_);
    if (peers) note_missing(*peers, timed);
    save();
  }

  void note_missing(const PeerProcess& peers, const TimedProblem& problem) {
    for (const auto& [method, peer, reason] : peers.missing())
      run_.rows.push_back({problem.d,
                           method,
                           "cpu",
                           problem.model,
                           Peer{peer, "", ""},
                           at::get_num_threads(),
                           {},
                           reason});
  }

  /// Why the problem does not fit where it is to be measured; empty where it does.
  static std::string no_room_for(std::int64_t rows, std::int64_t d, const Backend& backend) {
    const double needed = problem_bytes(rows, d),
                 available = static_cast<double>(available_memory(backend));
    if (available <= 0 || needed <= available) return {};
    return fmt::format("the problem itself needs {} of memory, and {} is available",
                       size_text(needed), size_text(available));
  }

  void skip(std::int64_t d, const std::string& model, const Backend& backend,
            const std::string& reason) {
    for (const TimingMethod method : options_.methods)
      if (is_own_on_rows(method))
        run_.rows.push_back(
            {d, method, backend.description(), model, {}, at::get_num_threads(), {}, reason});
  }

  /// Writes the record so far: a run that is killed leaves what it had finished.
  void save() {
    if (options_.output.json != "-") json_.write(timing_record(run_, *backends_.back()));
  }

  const TimingOptions& options_;
  JsonOutput json_;
  std::vector<std::unique_ptr<Backend>> devices_;  // null: the CPU, whose backend is everyone's
  std::vector<Backend*> backends_;
  TimingRun run_;
};

}  // namespace

int run_timing(const TimingOptions& options) {
  catch_stop_signals();
  if (options.threads > 0) at::set_num_threads(options.threads);
  TimingBench bench(options);
  try {
    for (const std::int64_t d : options.dims) bench.measure_synthetic(d);
    for (const std::filesystem::path& model : options.models) bench.measure_model(model);
  } catch (...) {
    bench.deliver(/*complete=*/false);
    throw;
  }
  bench.deliver(/*complete=*/true);
  return static_cast<int>(ExitCode::done);
}

}  // namespace deadray
