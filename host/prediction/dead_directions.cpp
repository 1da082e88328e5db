#include "host/prediction/dead_directions.h"

#include <algorithm>

#include "host/architecture/catalogue.h"
#include "host/architecture/norm_parameters.h"
#include "host/prediction/dead_parameters.h"

namespace deadray {

std::int64_t count_dead_directions(const Architecture& architecture) {
  std::int64_t count = 0;
  for (const NormSite& site : norm_sites(architecture, nullptr)) {
    NormParameters generic = initial_norm(site);
    std::fill(generic.beta.begin(), generic.beta.end(), 1.0);
    for (const DeadParameters& dead :
         dead_parameters(site, predict(site.kind, generic.gamma, generic.beta)))
      count += dead.count;
  }
  return count;
}

}  // namespace deadray
