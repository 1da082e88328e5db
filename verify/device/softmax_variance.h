#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/operations/head_fisher.h"

namespace deadray {

/// From hidden states h to logits: z = cap(scale (W h + bias)).
struct Decoder {
  at::Tensor weight;  ///< W [vocabulary, d], of the dtype of h
  at::Tensor bias;    ///< [vocabulary] FP64, or undefined
  double scale = 1.0;
  double soft_cap = 0.0;  ///< cap(x) = soft_cap tanh(x / soft_cap); 0: no cap

  kernels::LogitArguments arguments() const {
    return {bias.defined() ? bias.const_data_ptr<double>() : nullptr, scale, soft_cap};
  }
};

/// What Backend::softmax_variance() computes, on the CPU.
at::Tensor softmax_variance(const at::Tensor& h, const Decoder& decoder, const at::Tensor& u);

}  // namespace deadray
