#include "verify/fisher/site_claims.h"

#include "host/architecture/catalogue.h"
#include "verify/directional/consumers.h"

namespace deadray {

namespace {

NormSite without_ties(NormSite site) {
  for (Consumer& consumer : site.consumers) consumer.tied = false;
  return site;
}

}  // namespace

SiteClaims claims_of(const Model& model, const NormSite& site, const PredictOptions& options) {
  SiteClaims all{.site = site,
                 .norm = norm_parameters(model.stored(), site),
                 .subspace = {},
                 .claims = {},
                 .entry = entry_block(model, site),
                 .untied = without_ties(site),
                 .constructions = {}};
  all.subspace = predict(site.kind, all.norm.gamma, all.norm.beta, options, gamma_name(site));
  all.claims = dead_parameters(site, all.subspace);
  all.constructions = dead_parameters(all.untied, all.subspace);
  return all;
}

std::string obstacle(const Model& model, const SiteClaims& claims, const std::string& consumer) {
  if (!claims.entry) return "its norm does not lie between the stream and the output";
  return reaches_output(model, consumer) ? "" : "has no part in the output";
}

}  // namespace deadray
