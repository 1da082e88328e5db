#include "verify/plan/plan_advice.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <set>
#include <vector>

#include "host/architecture/catalogue.h"
#include "host/architecture/select_sites.h"
#include "host/base/error.h"
#include "verify/device/memory.h"

namespace deadray {

namespace {

/// An option that takes less memory, in words that suit every command. The method that needs least
/// comes before the other one.
struct Change {
  const char* words;
  bool (*helps)(const MeasurementOptions&);
  void (*apply)(MeasurementOptions&);
};
constexpr Change kChanges[] = {
    {"the method directional",
     [](const MeasurementOptions& options) { return options.probe.method != Method::directional; },
     [](MeasurementOptions& options) { options.probe.method = Method::directional; }},
    {"the method certificate",
     [](const MeasurementOptions& options) { return options.probe.method == Method::eigh; },
     [](MeasurementOptions& options) { options.probe.method = Method::certificate; }},
    {"the dtype bfloat16",
     [](const MeasurementOptions& options) { return options.probe.dtype != DType::bf16; },
     [](MeasurementOptions& options) { options.probe.dtype = DType::bf16; }},
    {"no residual stream", [](const MeasurementOptions& options) { return options.residual; },
     [](MeasurementOptions& options) { options.residual = false; }},
};

/// Tries what a run could do with less.
class WayOut {
 public:
  WayOut(const Model& model, const Calibration& calibration, std::int64_t available)
      : model_(model), calibration_(calibration), available_(available) {}

  Plan reckoned(MeasurementOptions options, std::int64_t sequences) const {
    options.probe.side_by_side = false;  // what plan_measurement() asks for where memory is short
    return reckon(model_, sequences, calibration_.length(), options,
                  calibration_.attended.defined());
  }
  bool fits(const MeasurementOptions& options, std::int64_t sequences) const {
    return fits_memory(reckoned(options, sequences), available_);
  }
  bool fits(const MeasurementOptions& options) const {
    return fits(options, calibration_.sequences());
  }

  /// As many whole sequences as fit; empty where no more of their tokens would count than the final
  /// norm has dimensions.
  std::string fewer_tokens(const MeasurementOptions& options) const {
    std::int64_t most = 0;  // sequences that fit
    for (std::int64_t beyond = calibration_.sequences(); beyond - most > 1;) {
      const std::int64_t middle = most + (beyond - most) / 2;
      (fits(options, middle) ? most : beyond) = middle;
    }
    const bool enough = options.probe.method == Method::directional ||
                        calibration_.rows(most) > model_.architecture.hidden_size;
    if (most == 0 || !enough) return {};
    return fmt::format("at most {} tokens, in {} sequences", most * calibration_.length(), most);
  }

  /// A norm that fits alone, where several are measured; of each width one is tried.
  std::string one_norm(MeasurementOptions options) const {
    const std::vector<NormSite> sites = select_sites(model_.sites, options.site);
    std::set<std::int64_t> tried;
    if (sites.size() < 2) return {};
    for (auto site = sites.rbegin(); site != sites.rend(); ++site) {  // the final one first
      if (!tried.insert(site->hidden_size).second) continue;
      options.site = site->name;
      if (fits(options)) return fmt::format("one norm with --site, {} say", site->name);
    }
    return {};
  }

 private:
  const Model& model_;
  const Calibration& calibration_;
  std::int64_t available_;
};

}  // namespace

bool fits_memory(const Plan& plan, std::int64_t available) {
  return available <= 0 || plan.peak() <= static_cast<double>(available);
}

std::string way_out(const Model& model, const Calibration& calibration,
                    const MeasurementOptions& options, std::int64_t available) {
  const WayOut search(model, calibration, available);
  std::vector<std::string> alone, together;
  for (const std::string& way : {search.fewer_tokens(options), search.one_norm(options)})
    if (!way.empty()) alone.push_back(way);
  for (const Change& change : kChanges) {
    MeasurementOptions changed = options;
    change.apply(changed);
    if (change.helps(options) && search.fits(changed)) alone.push_back(change.words);
  }
  if (!alone.empty()) return fmt::format("give {}", fmt::join(alone, ", or "));

  MeasurementOptions all = options;
  for (const Change& change : kChanges)
    if (change.helps(all)) change.apply(all), together.push_back(change.words);
  if (!search.fits(all)) {
    const std::string fewer = search.fewer_tokens(all);
    if (fewer.empty())
      return fmt::format("no option makes it fit: at the least it takes {}",
                         size_text(search.reckoned(all, 1).peak()));
    together.push_back(fewer);
  }
  return fmt::format("give {}", fmt::join(together, " and "));
}

void require_memory(const Plan& plan, const Model& model, const Calibration& calibration,
                    const MeasurementOptions& options, std::int64_t available) {
  if (fits_memory(plan, available)) return;
  throw ResourceError(fmt::format("{}: does not fit; {}", describe(plan, model, available),
                                  way_out(model, calibration, options, available)));
}

}  // namespace deadray
