#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "host/architecture/norm_site.h"
#include "host/formats/checkpoint.h"

namespace deadray {

/// A norm's parameters, normalised once at loading: after this there is one gamma, FP64.
struct NormParameters {
  std::vector<double> gamma;  ///< effective scale [hidden_size]
  std::vector<double> beta;   ///< shift [hidden_size]; empty when the norm has none
  DType stored = DType::f32;  ///< type the checkpoint holds; f32 for random initialisation
  std::uint64_t bytes = 0;    ///< bytes read
};

/// Refuses values from which nothing can be predicted.
/// @param gamma_name, beta_name  what a message begins with: "a.safetensors: tensor 'norm.weight'"
/// @throws MalformedError when gamma or beta is not finite, naming index and count, and when gamma
/// is empty or all zero
void require_sound(std::span<const double> gamma, std::span<const double> beta,
                   std::string_view gamma_name, std::string_view beta_name);

/// Reads gamma and beta of a site: the one place where a checkpoint's gamma is read.
/// gamma = stored + weight_offset. For who looks at every value anyway: predict() finds what is not
/// sound by its sums.
/// @throws MalformedError naming file and tensor when one is missing
/// @throws UnsupportedError for a quantised scale
NormParameters read_norm(const Checkpoint& checkpoint, const NormSite& site);

/// read_norm(), checked.
/// @throws MalformedError naming file and tensor where they are not sound too (require_sound())
NormParameters load_norm(const Checkpoint& checkpoint, const NormSite& site);

/// Gamma 1, beta 0: what every family initialises its norms to.
NormParameters initial_norm(const NormSite& site);

/// What a model's norm has: load_norm() where there is a checkpoint, else initial_norm().
NormParameters norm_parameters(const Checkpoint* checkpoint, const NormSite& site);

}  // namespace deadray
