#pragma once

#include <limits>
#include <utility>
#include <vector>

#include "verify/fisher/fisher_result.h"

namespace deadray::test {

inline constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// A claimed consumer with these figures of directions of its own.
inline ConsumerFisher measured_consumer(std::vector<double> dead,
                                        std::vector<double> random = {1e-4, 2e-4, 3e-4}) {
  ConsumerFisher consumer;
  consumer.claim.family = DeadParameters::Family::weight_and_bias;
  consumer.own = {std::move(dead), {}, std::move(random)};
  return consumer;
}

}  // namespace deadray::test
