#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/architecture/architecture.h"
#include "host/architecture/norm_site.h"
#include "host/formats/checkpoint.h"

namespace deadray {

/// Every norm of a model in order of evaluation, with its consumers.
/// @param checkpoint  where given, names carry the prefix found there, and heads and poolers count
/// only if their tensors exist
/// @throws MalformedError when a norm's tensor is missing; when its shape is not [hidden_size],
/// with both; when a scale or shift is stored of a norm that has none by its configuration, since
/// what is predicted would not hold of the model that was trained
std::vector<NormSite> norm_sites(const Architecture& architecture, const Checkpoint* checkpoint);

/// Names, without prefix, of tensors that every checkpoint of the architecture has: its input's
/// table or projection, the scale of its first norm. Any of them tells the prefix.
std::vector<std::string> landmarks(const Architecture& architecture);

/// The same as checkpoint_prefix(); absent where that throws.
std::optional<std::string> find_prefix(const Architecture& architecture,
                                       const Checkpoint& checkpoint);

/// Prefix that this checkpoint puts before the architecture's names ("", "transformer.", …).
/// @throws MalformedError naming a tensor that exists under none of them
std::string checkpoint_prefix(const Architecture& architecture, const Checkpoint& checkpoint);

/// `name`, or the alias under which another checkpoint stores it.
std::string stored_name(const Architecture& architecture, const Checkpoint& checkpoint,
                        std::string name);

/// `linear`, or that alternative of it whose tensors the checkpoint holds.
const LinearSpec& as_stored(const Architecture& architecture, const Checkpoint& checkpoint,
                            std::string_view prefix, const LinearSpec& linear, std::int64_t block);

/// Whether the model as stored ends in logits: there is a decoder, tied or its own, and the
/// transform before it where the family has one.
/// @param checkpoint  nullptr: as configured
bool has_head(const Architecture& architecture, const Checkpoint* checkpoint);

}  // namespace deadray
