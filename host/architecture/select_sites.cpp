#include "host/architecture/select_sites.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string>

#include "host/architecture/norm_names.h"
#include "host/base/error.h"
#include "host/base/in_quotes.h"
#include "host/base/near_names.h"

namespace deadray {
namespace {

/// A few names that the user may have meant by `which`. Where none is near: the last ones outside
/// the blocks, where people look first, or the last ones of all.
std::vector<std::string> a_few_of(const std::vector<NormSite>& sites, std::string_view which) {
  constexpr std::size_t kShown = 3;
  std::vector<std::string> names, outside;
  for (const NormSite& site : sites) {
    names.push_back(site.name);
    if (!is_in_numbered_part(site.name)) outside.push_back(site.name);
  }
  std::vector<std::string> few = near_names(which, names, kShown);
  if (few.empty()) few = outside.empty() ? names : outside;
  few.erase(few.begin(), few.end() - static_cast<std::ptrdiff_t>(std::min(kShown, few.size())));
  for (std::string& name : few) name = on_one_line(name, 100);
  return few;
}

}  // namespace

std::vector<NormSite> select_sites(const std::vector<NormSite>& sites, std::string_view which) {
  if (which == "all") return sites;
  std::vector<NormSite> chosen;
  for (const NormSite& site : sites)
    if (which == "final" ? site.is_final : site.name == which) chosen.push_back(site);
  if (chosen.empty())
    for (const NormSite& site : sites)
      if (site.name.ends_with(fmt::format(".{}", which))) chosen.push_back(site);
  if (chosen.size() == 1) return chosen;
  if (chosen.empty() && which == "final")
    throw UsageError(
        fmt::format("--site final: the model ends without a norm, or the names do not tell which "
                    "is its last; give all, or "
                    "--site NAME with one of {} names, such as {}",
                    sites.size(), fmt::join(a_few_of(sites, which), ", ")));
  throw UsageError(
      fmt::format("--site {}: {}; give final, all, or one of {} names, such as {}", which,
                  chosen.empty() ? "no such norm" : fmt::format("{} norms end so", chosen.size()),
                  sites.size(), fmt::join(a_few_of(chosen.empty() ? sites : chosen, which), ", ")));
}

}  // namespace deadray
