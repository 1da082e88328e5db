#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "host/architecture/config.h"
#include "host/formats/checkpoint.h"

// Quantised weights: whose method, by what a configuration or a checkpoint's tensors say. Scales of
// norms are stored plain by every method, so prediction does not depend on it.
namespace deadray {

/// The method that config.json names in `quantization_config`, `compression_config` or
/// `quantization`: "gptq", "bitsandbytes nf4", "mlx 4-bit"; empty: none.
std::string quantisation_of(const Config& config);

/// What shows that a checkpoint is quantised.
struct QuantisedTensor {
  std::string method;  ///< "gptq", "stored as I32"
  const TensorInfo* tensor = nullptr;
};

/// The first tensor that bears a method's mark; absent where every tensor is stored plain, or as
/// FP8 with the scale beside it.
std::optional<QuantisedTensor> quantisation_of(const Checkpoint& checkpoint);

/// Whether a tensor is called as what quantisation keeps beside a matrix: its scales, zeros, maps.
bool is_quantisation_part(std::string_view tensor);

/// Whether a tensor is what is kept beside an FP8 weight: its scale, or the scale of its inputs.
bool is_beside_fp8(const Checkpoint& checkpoint, const TensorInfo& tensor);

/// The tensor that holds the scale of an FP8 weight: "<name>_scale_inv" or "<name>_scale"; nullptr
/// where there is none.
const TensorInfo* fp8_scale(const Checkpoint& checkpoint, const TensorInfo& weight);

}  // namespace deadray
