#pragma once

#include <filesystem>
#include <string>

#include "host/prediction/model_prediction.h"

namespace deadray {

/// The table and the summary for people.
std::string to_text(const Prediction& prediction, bool coloured);
/// Writes a safetensors file with v*, an FP64 unit vector [hidden_size], for each LayerNorm that
/// has one. Tensors are named after the sites.
void write_directions(const std::filesystem::path& file, const Prediction& prediction);

}  // namespace deadray
