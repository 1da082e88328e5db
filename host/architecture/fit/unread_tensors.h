#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "host/architecture/architecture.h"
#include "host/formats/checkpoint.h"

namespace deadray {

/// "h.#.ln_1" for "h.3.ln_1" or "h.{}.ln_1": what the names of all blocks share, a leading '/' left
/// out.
std::string pattern_of(std::string_view name);

/// Adds to `notes` one line on the tensors that nothing reads: those that the architecture does not
/// describe, that are known to be no weights (causal masks, rotary frequencies, position ids), that
/// quantisation keeps beside weights, or that architecture.left_out announces, are passed over.
/// Also on a copy of a tied table that differs from it, and on tensors that are read but empty.
/// @throws MalformedError with that line where `strict`
void note_unread_tensors(const Checkpoint& checkpoint, const Architecture& architecture,
                         bool strict, std::vector<std::string>& notes);

}  // namespace deadray
