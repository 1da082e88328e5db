#pragma once

#include <vector>

#include "host/architecture/config.h"
#include "host/architecture/norm_site.h"
#include "host/formats/checkpoint.h"

namespace deadray {

/// Whether deadray knows how the converter for this GGUF's architecture names, orders and folds
/// tensors, so that it can be undone.
bool is_known_gguf(const Checkpoint& checkpoint);

/// What config.json would say. The checkpoint takes the family's own tensor names and orders.
/// @throws UnsupportedError an adapter, a file without a model; MalformedError naming the key
Config take_gguf_as_family(Checkpoint& checkpoint);

/// The norms of a GGUF of any architecture, by their names and the keys that tell their kind.
/// @throws UnsupportedError where no key tells the kind
std::vector<NormSite> gguf_norms(const Checkpoint& checkpoint);

}  // namespace deadray
