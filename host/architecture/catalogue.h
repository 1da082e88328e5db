#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/architecture/architecture.h"
#include "host/architecture/norm_site.h"
#include "host/formats/checkpoint.h"

namespace deadray {

/// Every norm of a model in order of evaluation, with its consumers.
/// @param checkpoint  when given, names carry the prefix found there, and heads and poolers count
/// only if their tensors exist
/// @throws MalformedError when a norm's tensor is missing or its shape is not [hidden_size], naming
/// both values, and when a scale or shift
///         is stored of a norm that has none by its configuration: what is predicted would not hold
///         of the model that was trained
std::vector<NormSite> norm_sites(const Architecture& architecture, const Checkpoint* checkpoint);

/// Prefix that this checkpoint puts before the architecture's names ("", "transformer.", …).
/// @throws MalformedError naming a tensor that exists under none of them
std::string checkpoint_prefix(const Architecture& architecture, const Checkpoint& checkpoint);

/// `name`, or the alias under which another checkpoint stores it.
std::string stored_name(const Architecture& architecture, const Checkpoint& checkpoint,
                        std::string name);

/// `linear`, or that alternative of it whose tensors the checkpoint holds.
const LinearSpec& as_stored(const Architecture& architecture, const Checkpoint& checkpoint,
                            std::string_view prefix, const LinearSpec& linear, std::int64_t block);

/// Whether the model as stored ends in logits: a tied decoder, or one of its own, and the transform
/// before it where the family has one.
/// @param checkpoint  nullptr: as configured
bool has_head(const Architecture& architecture, const Checkpoint* checkpoint);

/// "final", "all", or the name of one site (its last components suffice where they are unique:
/// "norm" for "model.norm").
/// @throws UsageError with a few near names, and how many there are
std::vector<NormSite> select_sites(const std::vector<NormSite>& sites, std::string_view which);

}  // namespace deadray
