#pragma once

#include <cstdint>

namespace deadray {

/// Regularised incomplete beta function I_x(a, b), a, b > 0, x in [0, 1]; relative error below
/// 1e-12 where it exceeds 1e-300. NaN outside that domain.
double incomplete_beta(double a, double b, double x);
/// P(|<u, v>| >= abs_cos) for a fixed unit v and u uniform on the sphere in R^d: cos^2 ~ Beta(1/2,
/// (d-1)/2).
double chance_p_value(double abs_cos, std::int64_t hidden_size);

}  // namespace deadray
