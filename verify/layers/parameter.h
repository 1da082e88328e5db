#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <span>

#include "verify/weights/weights.h"

namespace deadray {

/// A tensor of a model with what it moves along, both plain. It is made once, and used in one tile
/// after another, each with a ForwardMode of its own.
struct Parameter {
  at::Tensor value;  ///< undefined: the model has none
  /// [K, ...] of the value's shape; undefined: it stays.
  at::Tensor tangents{};

  bool defined() const { return value.defined(); }
  /// The value for a computation: under a ForwardMode with its derivatives.
  at::Tensor operator()() const;
};

/// Makes a parameter by `make`, a linear function of what the weights store: it makes the value of
/// the weights themselves, and the derivatives of those of their tangents() that move one of
/// `stored`. All of it on plain tensors, also where a ForwardMode lives.
Parameter load_parameter(const Weights& weights, std::span<const TensorSpec> stored,
                         std::int64_t block,
                         const std::function<at::Tensor(const Weights& source)>& make);
/// A tensor as it is stored.
Parameter load_parameter(const Weights& weights, const TensorSpec& spec, std::int64_t block,
                         at::ScalarType dtype);

/// x + parameter. In x's place, unless derivatives are carried: a tensor without them cannot take
/// them up in place.
at::Tensor added(at::Tensor x, const Parameter& parameter);

}  // namespace deadray
