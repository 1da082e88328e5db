#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "host/formats/tensor_info.h"

// Programs that wrap a model put components of their own into its tensors' names:
// "_orig_mod.module.h.0.ln_1.weight".
namespace deadray {

/// Takes wrappers off: those that are nobody's own name (torch.compile's "_orig_mod", FSDP's
/// "_fsdp_wrapped_module", …) wherever they stand, "module." and "base_model.model." where every
/// name begins with them. Nothing is changed where two tensors would then have one name.
/// @param tensors  keep their order of name
/// @param notes    gains a line on what was taken off
void take_off_wrappers(std::vector<TensorInfo>& tensors, std::vector<std::string>& notes);

/// Takes `prefix` off the names that begin with it.
/// @return whether that was done; not where two tensors would then have one name
bool take_off_prefix(std::vector<TensorInfo>& tensors, std::string_view prefix);

}  // namespace deadray
