#include "verify/probe/probe_group.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "host/base/stopwatch.h"
#include "verify/probe/measured_json.h"

namespace deadray {
namespace {

constexpr std::int64_t kNormsPerThread = 2;  // fewer, and a thread that ends first waits long
// Bytes of moments beyond which waiting norms are decomposed; small beside libtorch's own.
constexpr double kMostWaiting = 64.0 * 1024 * 1024;

std::int64_t enough_norms() { return kNormsPerThread * at::get_num_threads(); }

/// Of up to n tasks: five may run one by one where four fill four threads.
std::int64_t most_at_once(std::int64_t n) {
  std::int64_t most = 1;
  for (std::int64_t k = 1; k <= n; ++k) most = std::max(most, at_once(k));
  return most;
}

double cube(const SiteProbe& probe) {
  const auto d = static_cast<double>(probe.hidden_size());
  return d * d * d;
}

}  // namespace

void ProbeGroup::begin(const NormSite& site, NormParameters norm, std::optional<DType> dtype) {
  ProbeOptions options = options_;
  options.dtype = dtype.value_or(options_.dtype);
  const auto& [place, made] =
      probes_.try_emplace(site.name, site, std::move(norm), options, *backend_);
  if (made) results_.predict_seconds += place->second.predict_seconds();
}

void ProbeGroup::reserve(std::span<const NormTile> tiles) {
  for (std::size_t i = 0; i < tiles.size(); ++i) {
    SiteProbe& probe = probes_.at(tiles[i].site);
    if (i > 0 && tiles[i].input.defined() && tiles[i].input.is_same(tiles[i - 1].input))
      probe.share_input_of(probes_.at(tiles[i - 1].site));
    probe.reserve(tiles[i].input, tiles[i].output);
  }
}

void ProbeGroup::add(std::span<const NormTile> tiles) {
  backend_->synchronize();  // so that the forward pass is not counted as ours
  const Stopwatch watch;
  std::vector<Work> work;
  for (const NormTile& tile : tiles) probes_.at(tile.site).add(tile.input, tile.output, work);
  run_pieces(std::move(work), options_, *backend_);
  backend_->synchronize();
  results_.moments_seconds += watch.seconds();
}

void ProbeGroup::finish(const std::string& site) {
  merge(site);
  decompose_due();
}

void ProbeGroup::merge(const std::string& site) {
  const auto probe = probes_.find(site);
  if (probe == probes_.end()) return;
  Communicator& ranks = *options_.ranks;
  SiteProbe done = std::move(probe->second);
  probes_.erase(probe);
  if (!done.shares_input()) owner_ = (owner_ + 1) % ranks.size();
  if (ranks.size() > 1) {
    const Stopwatch watch;
    done.merge(owner_);
    results_.moments_seconds += watch.seconds();
  }
  const std::size_t place = results_.sites.size();
  results_.sites.push_back(done.result());
  if (owner_ == ranks.rank()) {
    const auto d = static_cast<double>(done.hidden_size());
    waiting_bytes_ += kMatricesOfProbe * d * d * sizeof(double);
    waiting_.push_back({place, std::move(done)});
  }
}

void ProbeGroup::decompose_due() {
  // Ranks decompose at the same time, when each has as many norms: else one would wait for another.
  if (owner_ + 1 < options_.ranks->size()) return;
  if (!runs_side_by_side(options_, *backend_) || std::ssize(waiting_) >= enough_norms() ||
      waiting_bytes_ > kMostWaiting)
    decompose();
}

void ProbeGroup::decompose() {
  const Stopwatch watch;
  std::vector<Work> work;
  for (Waiting& waiting : waiting_) {
    measured_here_.push_back(waiting.place);
    work.push_back({cube(waiting.probe),
                    [this, &waiting] { results_.sites[waiting.place] = waiting.probe.finish(); }});
  }
  run_pieces(std::move(work), options_, *backend_);
  waiting_.clear();
  waiting_bytes_ = 0;
  results_.spectrum_seconds += watch.seconds();
}

nlohmann::json ProbeGroup::measured_here() const {
  nlohmann::json here = nlohmann::json::array();
  for (const std::size_t place : measured_here_)
    here.push_back({place, measured_json(results_.sites[place])});
  return here;
}

nlohmann::json ProbeGroup::save() {
  decompose();
  nlohmann::json sites = nlohmann::json::array();
  for (const SiteResult& result : results_.sites) sites.push_back(result.site.name);
  return {{"sites", sites}, {"here", measured_here()}, {"owner", owner_}};
}

void ProbeGroup::restore(const nlohmann::json& saved,
                         const std::function<SiteProbe(const std::string& site)>& probe) {
  for (const nlohmann::json& site : saved.at("sites"))
    results_.sites.push_back(probe(site.get<std::string>()).result());
  for (const nlohmann::json& result : saved.at("here")) {
    measured_here_.push_back(result.at(0).get<std::size_t>());
    set_measured(results_.sites.at(measured_here_.back()), result.at(1));
  }
  owner_ = saved.at("owner").get<int>();
}

void ProbeGroup::gather_results() {
  const std::vector<std::uint8_t> cbor = nlohmann::json::to_cbor(measured_here());
  for (const std::string& bytes : options_.ranks->gather({cbor.begin(), cbor.end()}))
    for (const nlohmann::json& result : nlohmann::json::from_cbor(bytes))
      set_measured(results_.sites[result[0].get<std::size_t>()], result[1]);
}

ProbeGroup::Results ProbeGroup::take() {
  decompose();
  if (options_.ranks->size() > 1) gather_results();
  return std::move(results_);
}

GroupBytes bytes_of_group(double kept, std::int64_t n_norms, bool side_by_side) {
  if (!side_by_side || kept <= 0) return {};
  const double norms = std::min({std::floor(kMostWaiting / kept) + 1, static_cast<double>(n_norms),
                                 static_cast<double>(enough_norms())});
  const std::int64_t of_norms = most_at_once(static_cast<std::int64_t>(norms));
  return {norms * kept, std::max(of_norms, most_at_once(SiteProbe::kDecompositions))};
}

std::int64_t tasks_at_once(std::int64_t n_norms, bool side_by_side) {
  return side_by_side ? most_at_once(static_cast<std::int64_t>(kMatricesOfProbe) * n_norms) : 1;
}

}  // namespace deadray
