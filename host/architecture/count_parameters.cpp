#include <algorithm>
#include <cstdint>
#include <stdexcept>

#include "host/architecture/architecture.h"
#include "host/architecture/parts.h"

namespace deadray {

namespace {

/// A number of elements that refuses to wrap.
class Count {
 public:
  Count(std::int64_t value) : value_(value) {}
  Count& operator+=(Count other) {
    return checked(__builtin_add_overflow(value_, other.value_, &value_));
  }
  Count& operator*=(Count other) {
    return checked(__builtin_mul_overflow(value_, other.value_, &value_));
  }
  std::int64_t value() const { return value_; }

 private:
  Count& checked(bool overflows) {
    if (overflows) throw std::overflow_error("more than 2^63 - 1 parameters");
    return *this;
  }
  std::int64_t value_;
};

Count elements(const TensorSpec& spec) {
  Count product = spec.is_buffer ? 0 : 1;
  for (const std::int64_t extent : spec.shape) product *= extent;
  return product;
}
Count elements(const NormSpec& norm) {
  Count sum = norm.has_bias ? norm.width : 0;
  Count scales = norm.has_scale ? std::max<std::int64_t>(norm.rows, 1) : 0;
  scales *= norm.width;
  sum += scales;
  return sum;
}
Count elements(const LinearSpec& linear) {
  Count sum = 0;
  for (const auto* parts : {&linear.weights, &linear.biases})
    for (const TensorSpec& part : *parts) sum += elements(part);
  return sum;
}

}  // namespace

std::int64_t count_parameters(const Architecture& architecture) {
  Count count = 0;
  for_each_part(architecture, [&](const auto& part, Blocks blocks, std::int64_t copies) {
    Count all = elements(part);
    all *= static_cast<std::int64_t>(blocks.size());
    all *= copies;
    count += all;
  });
  const auto& head = architecture.head;
  return count.value() - (head && head->tied ? elements(head->decoder.weights[0]).value() : 0);
}

}  // namespace deadray
