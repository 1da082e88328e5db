#include "host/prediction/predict_norms.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <utility>

#include <fmt/format.h>

#include "host/architecture/norm_parameters.h"
#include "host/base/error.h"
#include "host/base/stopwatch.h"
#include "host/base/threads/parallel.h"

namespace deadray {
namespace {

/// Elements of scales that a further thread should have at least: half a millisecond's work.
constexpr std::size_t kLeastElements = 256 * 1024;

/// Of all scales together.
/// @throws MalformedError beyond five times what the largest models have: norms without a scale
/// cost a file nothing
std::size_t count_elements(const Checkpoint& checkpoint, const std::vector<NormSite>& sites) {
  constexpr std::size_t kMost = std::size_t{1} << 28;
  std::size_t elements = 0;
  for (const NormSite& site : sites) elements += static_cast<std::size_t>(site.hidden_size);
  if (elements > kMost)
    throw MalformedError(
        fmt::format("{}: {} values in the scales of its norms, expected at most {}",
                    checkpoint.path().string(), elements, kMost));
  return elements;
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
  const std::size_t elements = count_elements(checkpoint, sites);
  if (threads == 0)  // to classify, whole matrices are read
    threads =
        request.classify ? threads_for(sites.size(), 1) : threads_for(elements, kLeastElements);
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
