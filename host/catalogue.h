#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/architecture.h"
#include "host/checkpoint.h"
#include "host/norm_site.h"

namespace deadray {

/// Every norm of a model in order of evaluation, with its consumers.
/// @param checkpoint  when given, names carry the prefix found there, and heads and poolers count only if their tensors exist
/// @throws MalformedError when a norm's tensor is missing or its shape is not [hidden_size], naming both values
std::vector<NormSite> norm_sites(const Architecture& architecture, const Checkpoint* checkpoint);

/// Norms guessed from tensor names alone, for a model_type that deadray does not know and whose norm kind the user states: every rank-1
/// tensor called …norm….weight, …ln_x.weight or the like; consumers unknown.
std::vector<NormSite> discover_norm_sites(const Checkpoint& checkpoint, NormKind kind, double weight_offset);

/// Prefix that this checkpoint puts before the architecture's names ("", "transformer.", …).
/// @throws MalformedError naming a tensor that exists under none of them
std::string checkpoint_prefix(const Architecture& architecture, const Checkpoint& checkpoint);

/// `name`, or the alias under which another checkpoint stores it.
std::string stored_name(const Architecture& architecture, const Checkpoint& checkpoint, std::string name);

/// `linear`, or that alternative of it whose tensors the checkpoint holds.
const LinearSpec& as_stored(const Architecture& architecture, const Checkpoint& checkpoint, std::string_view prefix,
                            const LinearSpec& linear, std::int64_t block);

/// Whether the model as stored ends in logits: a tied decoder, or one of its own, and the transform before it where the family has one.
/// @param checkpoint  nullptr: as configured
bool has_head(const Architecture& architecture, const Checkpoint* checkpoint);

/// Reads gamma and beta; gamma = stored + weight_offset.
/// @throws MalformedError when a tensor is missing, UnsupportedError for a quantised scale (predict() judges the values)
NormParameters load_norm(const Checkpoint& checkpoint, const NormSite& site);

/// Gamma 1, beta 0: what every family initialises its norms to.
NormParameters initial_norm(const NormSite& site);

/// "final", "all", or the name of one site (its last components suffice where they are unique: "norm" for "model.norm").
/// @throws UsageError listing near names
std::vector<NormSite> select_sites(const std::vector<NormSite>& sites, std::string_view which);

}  // namespace deadray
