#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "verify/base/norm_tile.h"
#include "verify/probe/probe.h"

namespace deadray {

/// The probes of one forward pass, and their work side by side: the moments of all norms of a tile,
/// the spectra of several norms. A probe lives from its first tile to its result, so that the
/// covariances of a few norms, not of the whole model, are in memory.
class ProbeGroup {
 public:
  ProbeGroup(const ProbeOptions& options, Backend& backend)
      : options_(options), backend_(&backend) {}

  bool has(const std::string& site) const { return probes_.contains(site); }
  /// Makes the probe of a site that has none.
  /// @param dtype  of its activations, where that is not ProbeOptions::dtype
  void begin(const NormSite& site, NormParameters norm, std::optional<DType> dtype = {});
  /// SiteProbe::reserve() of each. A norm that is shown the very tensor of the one before it shares
  /// the moments of the input.
  void reserve(std::span<const NormTile> tiles);
  /// The norms of one tile of the stream. Each has its probe.
  void add(std::span<const NormTile> tiles);
  /// No more tiles come for this site: merge() and decompose_due().
  void finish(const std::string& site);
  /// Its spectrum waits; of several ranks on one of them, each in turn. Collective.
  void merge(const std::string& site);
  /// Takes the spectra that wait on this rank, where they are as many as keep all threads busy, or
  /// more than memory allows.
  void decompose_due();
  /// Takes them in any case.
  void decompose();

  struct Results {
    std::vector<SiteResult> sites;  ///< in the order of finish()
    double predict_seconds = 0, moments_seconds = 0, spectrum_seconds = 0;  ///< of wall time
  };
  /// What the norms so far have given, for restore() of a later process; none is under way. Takes
  /// what waits.
  nlohmann::json save();
  /// @param saved  of the same rank
  /// @param probe  makes the probe of a site
  void restore(const nlohmann::json& saved,
               const std::function<SiteProbe(const std::string& site)>& probe);

  /// Takes what waits, and gives all; of several ranks each gives what all have measured:
  /// collective.
  Results take();

 private:
  /// A norm that this rank is to decompose, and the place of its result.
  struct Waiting {
    std::size_t place;
    SiteProbe probe;
  };
  nlohmann::json measured_here() const;
  void gather_results();

  ProbeOptions options_;
  Backend* backend_;
  std::map<std::string, SiteProbe> probes_;
  std::vector<Waiting> waiting_;
  double waiting_bytes_ = 0;
  std::vector<std::size_t> measured_here_;  // places
  int owner_ = -1;                          // of the last norm
  Results results_;
};

/// What a group of such norms takes beyond the probes of one block.
struct GroupBytes {
  double waiting = 0;           ///< bytes of moments whose spectra wait, at most
  std::int64_t decomposed = 1;  ///< covariances that are decomposed at the same time
};
/// @param kept     bytes that the probe of one norm keeps
/// @param n_norms  that are measured in all
GroupBytes bytes_of_group(double kept, std::int64_t n_norms, bool side_by_side);
/// Tasks of a tile that run at the same time, at most, where so many norms see it. Each makes FP64
/// rows of its own.
std::int64_t tasks_at_once(std::int64_t n_norms, bool side_by_side);
/// Matrices [d, d] that a probe keeps: sums of its input, exact, deployed.
inline constexpr double kMatricesOfProbe = 3;

}  // namespace deadray
