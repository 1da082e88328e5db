#pragma once

#include <filesystem>

#include "host/architecture/config.h"
#include "host/formats/checkpoint.h"

namespace deadray {

/// Whether the file says itself what its model is. A config.json beside it is not read then.
bool describes_itself(const Checkpoint& checkpoint);

/// What describes an opened model: a GGUF file's own keys, whose tensors then have the family's
/// names and orders; else the config.json in its folder, or beside the file.
/// @throws as take_gguf_as_family() and Config::load() do
Config model_config(Checkpoint& checkpoint);

/// The same where the weights are not to be read, and need not be there where config.json is.
Config model_config(const std::filesystem::path& model, const CheckpointOptions& options);

/// The weights under the family's names, for who has a configuration already.
Checkpoint open_weights(const std::filesystem::path& model, const CheckpointOptions& options);

}  // namespace deadray
