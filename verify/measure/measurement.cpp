#include "verify/measure/measurement.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "host/architecture/catalogue.h"
#include "host/architecture/norm_parameters.h"
#include "host/architecture/select_sites.h"
#include "host/base/error.h"
#include "host/base/stop_signals.h"
#include "host/base/stopwatch.h"
#include "host/prediction/model_prediction.h"
#include "verify/base/dtypes.h"
#include "verify/calibration/counted_rows.h"
#include "verify/forward/executor.h"
#include "verify/measure/dump.h"
#include "verify/measure/saved/run_identity.h"
#include "verify/measure/saved/saved_run.h"
#include "verify/probe/probe_group.h"

namespace deadray {

ExitCode exit_code_of(const Measurement& measurement) {
  const auto any = [&](Verdict verdict) {
    return std::any_of(measurement.sites.begin(), measurement.sites.end(),
                       [&](const SiteResult& site) { return site.judgement.verdict == verdict; });
  };
  if (any(Verdict::refuted)) return ExitCode::refuted;
  return any(Verdict::undetermined) ? ExitCode::undetermined : ExitCode::done;
}

namespace {

/// Hands the tiles of a forward pass to the probes of the chosen sites.
class Measuring final : public Observer {
 public:
  Measuring(const Model& model, const Calibration& calibration, const MeasurementOptions& options)
      : model_(model),
        calibration_(calibration),
        options_(options),
        probes_(options.probe, model.weights->backend()) {
    for (NormSite& site : select_sites(model.sites, options.site)) chosen_.emplace(site.name, site);
    for (const NormSite& site : model.sites)
      if (site.is_final) final_site_ = site.name;
    if (options.residual) residual_.emplace(model.weights->backend(), *options.probe.ranks);
    if (!options.saved_run.empty())
      saved_.emplace(options.saved_run, run_identity(model, calibration, options),
                     *options.probe.ranks);
    if (!options.dump.empty())
      dump_.emplace(options.dump, model.architecture, calibration, scalar_type(options.probe.dtype),
                    options.dump_logits);
  }

  bool wants(const std::string& site) override { return chosen_.contains(site); }
  bool wants_whole_output(const std::string& site) override { return dump_ && site == final_site_; }

  /// Where the run is to begin: at the block that an earlier one has reached, or at the first.
  Start start() {
    std::optional<RunState> state = saved_ ? saved_->load() : std::nullopt;
    if (!state) return {};
    probes_.restore(state->measured, [&](const std::string& name) {
      const NormSite& site = chosen_.at(name);
      return SiteProbe(site, norm_parameters(model_.stored(), site), options_.probe,
                       model_.weights->backend());
    });
    if (residual_ && state->residual) residual_->restore(std::move(*state->residual));
    restored_node_ = state->node;
    return {state->node, state->stream.to(model_.weights->backend().device())};
  }
  std::optional<std::int64_t> restored_node() const { return restored_node_; }
  bool began_anew() const { return saved_ && saved_->lacks_parts(); }

  void residual(std::int64_t node, const at::Tensor& x) override {
    if (node == restored_node_) return;  // it was counted before it was saved
    if (!saved_) throw_if_any_stopped(*options_.probe.ranks);
    const Stopwatch watch;
    if (dump_) dump_->residual(x);
    if (residual_)
      residual_->add(counted_of_stream(x), is_norm_output(node)
                                               ? ResidualStream::Node::layernorm_output
                                               : ResidualStream::Node::stream);
    seconds_.moments += watch.seconds();
    if (saved_) save_if_due(node, x);
  }

  void prepare(std::span<const NormTile> tiles) override {
    for (const NormTile& tile : tiles)
      if (!probes_.has(tile.site)) begin_probe(chosen_.at(tile.site));
    probes_.reserve(tiles);
  }

  void norms(std::span<const NormTile> tiles) override {
    throw_if_stopped();
    probes_.add(tiles);
  }

  void whole_output(const std::string&, const at::Tensor& output) override {
    dump_->final_norm(output);
  }

  void finished(const std::string& name) override {
    // The other ranks would wait for this one's part of the norm.
    if (options_.probe.ranks->size() > 1 && chosen_.contains(name) && !probes_.has(name))
      throw InternalError(fmt::format("norm '{}': no tile of it on one of several ranks", name));
    probes_.finish(name);
  }

  void logits(const at::Tensor& tile) override { dump_->logits(tile); }
  void progress(std::int64_t done, std::int64_t total) override {
    throw_if_stopped();
    if (options_.progress) options_.progress(done, total);
  }

  Measurement take() {
    if (dump_) dump_->finish();
    Measurement measurement;
    take_results();
    note_what_never_ran(measurement.notes);
    note_edges_of_range(measurement.notes);
    measurement.sites = std::move(results_);
    const Stopwatch watch;
    if (residual_) measurement.residual = residual_->finish();
    seconds_.spectrum += watch.seconds();
    measurement.seconds = seconds_;
    return measurement;
  }

  /// The norms that were done when a signal came. A dump is dropped.
  /// @throws Stopped when none was
  Measurement take_partial(const Stopped& stopped) {
    take_results();
    if (results_.empty()) throw stopped;
    Measurement measurement;
    measurement.notes.push_back(fmt::format("stopped by signal {}: {} of {} norms measured",
                                            stopped.signal, results_.size(), chosen_.size()));
    note_edges_of_range(measurement.notes);
    measurement.sites = std::move(results_);
    measurement.seconds = seconds_;
    measurement.stopped = stopped;
    return measurement;
  }

 private:
  void save_if_due(std::int64_t node, const at::Tensor& x) {
    Communicator& ranks = *options_.probe.ranks;
    const bool due = since_saved_.seconds() >= options_.save_every_seconds || stop_asked_for();
    if (ranks.largest(due ? 1 : 0) == 0) return;
    saved_->save(
        {node, x, probes_.save(), residual_ ? std::optional(residual_->state()) : std::nullopt});
    since_saved_ = {};
    throw_if_any_stopped(ranks);
  }
  at::Tensor counted_of_stream(const at::Tensor& x) const {
    return counted_rows(calibration_.counted(),
                        x.view({calibration_.sequences(), calibration_.length(), -1}));
  }
  void begin_probe(const NormSite& site) {
    const Stopwatch watch;
    NormParameters norm = norm_parameters(model_.stored(), site);
    seconds_.load += watch.seconds();
    probes_.begin(site, std::move(norm));
  }
  void take_results() {
    ProbeGroup::Results results = probes_.take();
    results_ = std::move(results.sites);
    seconds_.predict += results.predict_seconds;
    seconds_.moments += results.moments_seconds;
    seconds_.spectrum += results.spectrum_seconds;
  }
  void note_edges_of_range(std::vector<std::string>& notes) const {
    NormsByEdge norms;
    for (const SiteResult& result : results_)
      for (const std::string_view edge : edges_of_range(result.predicted))
        norms[edge].push_back(result.site.name);
    deadray::note_edges_of_range(norms, notes);
  }
  /// Norms of a vision tower are not measured where the tokens hold no pictures.
  void note_what_never_ran(std::vector<std::string>& notes) const {
    std::map<std::string, NormSite> silent = chosen_;
    for (const SiteResult& result : results_) silent.erase(result.site.name);
    if (silent.empty()) return;
    const std::string which = silent.size() == 1
                                  ? silent.begin()->first
                                  : fmt::format("{} norms of the vision tower", silent.size());
    const std::string why =
        fmt::format("{}: not measured, since the tokens hold no pictures", which);
    if (results_.empty())
      throw UsageError(fmt::format("--site {}: {}; give --tokens with pixel_values, or none",
                                   options_.site, why));
    notes.push_back(why);
  }
  bool is_norm_output(std::int64_t node) const {
    const Architecture& a = model_.architecture;
    if (node == 0) return a.input_norm.has_value();
    return a.block(node - 1).wiring == Wiring::post;
  }

  const Model& model_;
  const Calibration& calibration_;
  const MeasurementOptions& options_;
  std::map<std::string, NormSite> chosen_;
  std::string final_site_;
  ProbeGroup probes_;
  std::vector<SiteResult> results_;
  std::optional<ResidualStream> residual_;
  std::optional<Dump> dump_;
  std::optional<SavedRun> saved_;
  std::optional<std::int64_t> restored_node_;
  Stopwatch since_saved_;
  Seconds seconds_;
};

}  // namespace

Measurement measure(const Model& model, const Calibration& calibration,
                    const MeasurementOptions& options) {
  if (options.dump_logits && !model.weights->has_head())
    throw UnsupportedError(fmt::format("--dump-logits: {}: no head in its {}; leave it out",
                                       model.name, model.checkpoint ? "weights" : "configuration"));
  const Stopwatch watch;
  Measuring measuring(model, calibration, options);
  ExecutorOptions executor_options;
  executor_options.dtype = scalar_type(options.probe.dtype);
  executor_options.logits = options.dump_logits && !options.dump.empty();
  Executor executor(model.architecture, *model.weights, executor_options);
  const Start start = measuring.start();
  Measurement measurement;
  try {
    executor.run(calibration, measuring, start);
    measurement = measuring.take();
  } catch (const Stopped& stopped) {
    measurement = measuring.take_partial(stopped);
  }
  std::vector<std::string> notes = executor.notes();
  if (measurement.stopped && !options.saved_run.empty())
    notes.push_back(fmt::format("the run is saved in {}: the same command goes on from there",
                                options.saved_run.string()));
  if (!options.probe.side_by_side && model.weights->backend().runs_side_by_side())
    notes.push_back("memory is short: norms were measured one after the other");
  for (const std::string& note : notes_of_ranks(*options.probe.ranks, notes))
    measurement.notes.push_back(note);
  measurement.went_on_from = measuring.restored_node();
  measurement.began_anew = measuring.began_anew();
  Seconds& seconds = measurement.seconds;
  seconds.load += executor.load_seconds();
  seconds.total = watch.seconds();
  seconds.forward =
      seconds.total - seconds.load - seconds.moments - seconds.spectrum - seconds.predict;
  return measurement;
}

}  // namespace deadray
