#pragma once

#include <cstdint>
#include <vector>

namespace deadray {

/// The lower of the two in the middle where the number of values is even, so that it is one of the
/// values. NaN where one of them is, and where there are none.
double median(std::vector<double> values);
/// Regularised incomplete beta function I_x(a, b) for a, b > 0 and x in [0, 1]; NaN elsewhere.
/// Where it exceeds 1e-300 its relative error is below 1e-12.
double incomplete_beta(double a, double b, double x);
/// P(|<u, v>| >= abs_cos) for a fixed unit vector v and u uniform on the sphere in R^d: the squared
/// cosine has the distribution Beta(1/2, (d-1)/2).
double chance_p_value(double abs_cos, std::int64_t hidden_size);

}  // namespace deadray
