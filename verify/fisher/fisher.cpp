#include "verify/fisher/fisher.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "host/architecture/catalogue.h"
#include "host/architecture/select_sites.h"
#include "host/base/stop_signals.h"
#include "host/base/stopwatch.h"
#include "verify/directional/kfac.h"
#include "verify/fisher/fisher_plan.h"
#include "verify/fisher/site_claims.h"
#include "verify/fisher/site_fisher.h"

namespace deadray {

namespace {

/// Each note once: every pass that runs short of memory says the same.
void append(std::vector<std::string>& notes, const std::vector<std::string>& more) {
  for (const std::string& note : more)
    if (std::find(notes.begin(), notes.end(), note) == notes.end()) notes.push_back(note);
}

/// Claims of the norms that have consumers; the others get a note.
/// @param sites  outlive the result
std::vector<SiteClaims> claims_of_all(const Model& model, const std::vector<NormSite>& sites,
                                      const PredictOptions& options,
                                      std::vector<std::string>& notes) {
  std::vector<SiteClaims> claims;
  for (const NormSite& site : sites) {
    if (site.consumers.empty())
      notes.push_back(fmt::format(
          "{}: nothing reads it through weights of its own: no parameter to measure", site.name));
    else
      claims.push_back(claims_of(model, site, options));
  }
  return claims;
}

void plan_work(const Model& model, const Calibration& calibration, const FisherOptions& options,
               const std::vector<SiteClaims>& claims) {
  std::vector<FisherWork> work;
  for (const SiteClaims& site : claims) work.push_back(work_of(model, site, options));
  const FisherPlan plan = plan_fisher(model, calibration, options, work);
  require_memory(plan, model);
  if (options.planned) options.planned(plan);
}

/// Streams of one run in the dtype of the pass and, where finite steps want it, of one in FP64.
struct Streams {
  KeptStreams of_pass;
  std::optional<KeptStreams> fp64;

  double load_seconds() const { return of_pass.load_seconds + (fp64 ? fp64->load_seconds : 0.0); }
  const StreamsByNode& wide() const { return fp64 ? fp64->streams : of_pass.streams; }
};

Streams keep_all_streams(const Model& model, const Calibration& calibration,
                         const FisherOptions& options, const std::vector<SiteClaims>& claims) {
  std::int64_t first = model.architecture.n_blocks;
  for (const SiteClaims& site : claims) first = std::min(first, site.entry.value_or(first));
  Streams streams{keep_streams(model, calibration, options.dtype, first), {}};
  if (options.invariance && options.dtype != at::kDouble)
    streams.fp64 = keep_streams(model, calibration, at::kDouble, first);
  return streams;
}

/// The options, without K-FAC where its pass does not fit; a note says so.
FisherOptions affordable(const Model& model, const Calibration& calibration, FisherOptions options,
                         std::vector<std::string>& notes) {
  if (!options.kfac) return options;
  const std::string why = kfac_obstacle(model, calibration, options.dtype);
  if (!why.empty()) notes.push_back("K-FAC is left out: " + why);
  options.kfac = options.ranks->largest(why.empty() ? 0 : 1) == 0;  // all ranks or none
  return options;
}

void add(FisherMeasurement& measurement, SiteFisher site) {
  std::move(site.consumers.begin(), site.consumers.end(),
            std::back_inserter(measurement.consumers));
  std::move(site.directions.begin(), site.directions.end(),
            std::back_inserter(measurement.directions));
  append(measurement.notes, site.notes);
  measurement.seconds.load += site.load_seconds;
  measurement.kfac_seconds += site.kfac_seconds;
  measurement.invariance_seconds += site.invariance_seconds;
}

void measure_sites(const Model& model, const Calibration& calibration, const FisherOptions& options,
                   const std::vector<SiteClaims>& claims, const Streams& streams,
                   FisherMeasurement& measurement) {
  std::size_t done = 0;
  try {
    for (; done < claims.size(); ++done) {
      throw_if_any_stopped(*options.ranks);
      if (options.progress)
        options.progress(static_cast<std::int64_t>(done), static_cast<std::int64_t>(claims.size()));
      add(measurement, measure_site(model, calibration, claims[done], streams.of_pass.streams,
                                    options.invariance ? &streams.wide() : nullptr, options));
    }
  } catch (const Stopped& stopped) {
    if (measurement.consumers.empty()) throw;
    measurement.stopped = stopped;
    measurement.notes.push_back(fmt::format("stopped by signal {}: {} of {} norms measured",
                                            stopped.signal, done, claims.size()));
  }
}

}  // namespace

FisherMeasurement measure_fisher(const Model& model, const Calibration& calibration,
                                 const FisherOptions& options) {
  const Stopwatch watch;
  FisherMeasurement measurement;
  measurement.dtype = options.dtype;
  const std::vector<NormSite> sites = select_sites(model.sites, options.site);
  const std::vector<SiteClaims> claims =
      claims_of_all(model, sites, options.predict, measurement.notes);
  measurement.seconds.predict = watch.seconds();
  if (!claims.empty()) {
    plan_work(model, calibration, options, claims);
    const Streams streams = keep_all_streams(model, calibration, options, claims);
    measurement.seconds.load += streams.load_seconds();
    append(measurement.notes, streams.of_pass.notes);
    if (streams.fp64) append(measurement.notes, streams.fp64->notes);
    measure_sites(model, calibration, affordable(model, calibration, options, measurement.notes),
                  claims, streams, measurement);
  }
  measurement.notes = notes_of_ranks(*options.ranks, measurement.notes);
  measurement.seconds.total = watch.seconds();
  return measurement;
}

}  // namespace deadray
