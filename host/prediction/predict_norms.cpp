#include "host/prediction/predict_norms.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <utility>

#include "host/architecture/norm_parameters.h"
#include "host/base/error.h"
#include "host/base/stopwatch.h"
#include "host/base/threads/parallel.h"

namespace deadray {
namespace {

/// Elements of scales that a further thread should have at least: half a millisecond's work.
constexpr std::size_t kLeastElements = 256 * 1024;

std::size_t threads_of(const std::vector<NormSite>& sites, const NormRequest& request) {
  if (request.classify) return threads_for(sites.size(), 1);  // whole matrices are read
  std::size_t elements = 0;
  for (const NormSite& site : sites) elements += static_cast<std::size_t>(site.hidden_size);
  return threads_for(elements, kLeastElements);
}

/// @throws MalformedError as load_norm() does: it names the file
DeadSubspace predict_read(const Checkpoint& checkpoint, const NormSite& site,
                          const NormParameters& norm, const PredictOptions& options) {
  try {
    return predict(site.kind, norm.gamma, norm.beta, options, gamma_name(site));
  } catch (const MalformedError&) {
    load_norm(checkpoint, site);
    throw;
  }
}

}  // namespace

PredictedNorms predict_norms(const Checkpoint& checkpoint, std::vector<NormSite> sites,
                             const NormRequest& request, std::size_t threads) {
  PredictedNorms result;
  if (threads == 0) threads = threads_of(sites, request);
  result.sites.reserve(sites.size());
  for (NormSite& site : sites) result.sites.push_back({std::move(site), {}, {}, {}, {}});

  std::atomic<std::uint64_t> bytes = 0;
  std::atomic<double> seconds_read = 0, seconds_predict = 0;
  Stopwatch pass;
  const auto predict_one = [&](std::size_t i) {
    SitePrediction& prediction = result.sites[i];
    const NormSite& site = prediction.site;
    Stopwatch watch;
    const NormParameters norm = read_norm(checkpoint, site);
    seconds_read += watch.lap();
    prediction.stored = norm.stored;
    prediction.subspace = predict_read(checkpoint, site, norm, request.predict);
    prediction.consumers = dead_parameters(site, prediction.subspace);
    if (!request.keep_directions) prediction.subspace.inverse = UnsetVector();
    seconds_predict += watch.lap();
    if (request.classify) prediction.evidence = classify_norm(checkpoint, site, norm);
    bytes += norm.bytes;
  };
  checkpoint.read_together([&] { run_parallel(result.sites.size(), threads, predict_one); });
  const double shared = seconds_read + seconds_predict,
               wall = std::min(pass.seconds(), shared);  // classify_norm() is in neither
  result.bytes_read = bytes;
  result.seconds_read = shared > 0.0 ? wall * seconds_read / shared : 0.0;
  result.seconds_predict = shared > 0.0 ? wall * seconds_predict / shared : 0.0;
  return result;
}

}  // namespace deadray
