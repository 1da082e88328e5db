#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <vector>

#include "host/formats/checkpoint.h"

namespace deadray::test {

/// A tensor's values as they are stored, read in pieces of `step` elements.
inline std::vector<std::byte> stored_values(const Checkpoint& checkpoint, const TensorInfo& tensor,
                                            std::int64_t step) {
  const std::size_t size = size_of(tensor.dtype);
  std::vector<std::byte> values(static_cast<std::size_t>(tensor.elements()) * size);
  for (std::int64_t first = 0; first < tensor.elements(); first += step)
    checkpoint.read(tensor, first, std::min(step, tensor.elements() - first),
                    values.data() + static_cast<std::size_t>(first) * size);
  return values;
}

/// Names, types, shapes and every bit of the values agree.
inline void expect_same_values(const Checkpoint& found, const Checkpoint& expected) {
  ASSERT_EQ(found.tensors().size(), expected.tensors().size());
  for (std::size_t i = 0; i < expected.tensors().size(); ++i) {
    const TensorInfo &a = found.tensors()[i], &b = expected.tensors()[i];
    ASSERT_EQ(a.name, b.name);
    EXPECT_EQ(to_string(a.dtype), to_string(b.dtype)) << a.name;
    EXPECT_EQ(a.shape, b.shape) << a.name;
    for (const std::int64_t step : {1000, 1, 5})
      EXPECT_EQ(stored_values(found, a, step), stored_values(expected, b, 1000))
          << a.name << " in steps of " << step;
  }
}

}  // namespace deadray::test
