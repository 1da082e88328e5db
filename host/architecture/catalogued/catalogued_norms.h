#pragma once

#include <string>
#include <vector>

#include "host/architecture/catalogued/type_catalogue.h"
#include "host/architecture/config.h"
#include "host/architecture/norm_site.h"
#include "host/formats/checkpoint.h"

namespace deadray {

struct CataloguedNorms {
  /// In the order of comes_before(), the final one last. Consumers are those that the catalogue
  /// tells and the checkpoint holds.
  std::vector<NormSite> sites;
  /// What is no LayerNorm or RMSNorm, what stores nothing, what is called as a norm and is none of
  /// the type's, blocks that lack a norm, parts of unknown types.
  std::vector<std::string> notes;
};

/// The norms of a checkpoint of a type that has no family of its own, as the catalogue has them.
/// Tensors are found under every prefix that files of the type have.
/// @throws UnsupportedError for a type that the catalogue does not have (near names; code of its
/// own under auto_map), or could not build, and where no norm of the two kinds is there
/// @throws MalformedError for a scale or shift of another shape than a norm's
CataloguedNorms catalogued_norms(const TypeCatalogue& catalogue, const Config& config,
                                 const Checkpoint& checkpoint);

/// The same of a type of the catalogue that could be built; there may be none.
CataloguedNorms find_norms(const TypeCatalogue& catalogue, const CataloguedType& type,
                           const Config& config, const Checkpoint& checkpoint);

}  // namespace deadray
