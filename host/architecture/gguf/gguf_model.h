#pragma once

#include "host/architecture/config.h"
#include "host/architecture/discover_norms.h"
#include "host/formats/checkpoint.h"

namespace deadray {

/// Whether deadray knows how the converter for this GGUF's architecture names, orders and folds
/// tensors, so that it can be undone.
/// @throws MalformedError without general.architecture; UnsupportedError where the file holds no
/// model: an adapter, a projector, a vocabulary alone
bool is_known_gguf(const Checkpoint& checkpoint);

/// What config.json would say, by the file's keys and tensors. Complaints about these name the
/// keys as the file has them. The checkpoint takes the family's own tensor names and orders; a
/// tensor of another name keeps it.
/// @throws UnsupportedError an architecture that is not known, blocks that differ; MalformedError
/// naming the key or tensor
Config take_gguf_as_family(Checkpoint& checkpoint);

/// The norms of a GGUF of any architecture, by their names. The keys tell the kind, where there is
/// an epsilon of one kind alone; else a norm with a shift is taken for a LayerNorm, one without for
/// an RMSNorm, and a note says so. gamma is as stored: the converter adds what a family stores its
/// scales less. A scale of rank 2 has a row a head. Consumers are unknown.
/// @throws MalformedError where there is none
DiscoveredNorms gguf_norms(const Checkpoint& checkpoint);

}  // namespace deadray
