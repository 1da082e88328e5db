#pragma once

#include <vector>

#include "host/architecture/architecture.h"
#include "host/architecture/norm_site.h"
#include "host/formats/checkpoint.h"

namespace deadray {

/// Makes a description say what the checkpoint holds, where config.json and the checkpoint differ
/// in a way that has one reading, and tells each in architecture.notes: a wrapper before all names,
/// a tied pair of which the head alone is stored, LayerNorms none of which stores a shift, linear
/// maps with biases that config.json does not mention, or without those that it asks for, quantised
/// weights (architecture.not_run), tensors that nothing reads.
/// @return every norm of the model, see norm_sites()
/// @throws MalformedError as norm_sites() does; where `strict`, for tensors that nothing reads
/// @throws UnsupportedError for an adapter that was not merged
std::vector<NormSite> fit_to_checkpoint(Architecture& architecture, Checkpoint& checkpoint,
                                        bool strict);

/// @throws MalformedError where there are no tensors
/// @throws UnsupportedError where the tensors are those of an adapter that was not merged (LoRA and
/// its kin): the norms and matrices that would act are not there yet
void require_model(const Checkpoint& checkpoint);

}  // namespace deadray
