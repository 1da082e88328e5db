#include "verify/probe/input_moments.h"

#include <ATen/ATen.h>

#include "verify/base/dtypes.h"
#include "verify/device/merge_moments.h"

namespace deadray {
namespace {

constexpr double kMatrices = 2;  // the sums, and the covariance that finish() makes of them

}  // namespace

InputMoments::InputMoments(std::int64_t hidden_size, bool rarely, Backend& backend)
    : backend_(&backend),
      hidden_size_(hidden_size),
      keeps_rows_(rarely && backend.device().is_cpu()) {}

Channel& InputMoments::channel() {
  if (!channel_) channel_ = backend_->make_channel({.hidden_size = hidden_size_});
  return *channel_;
}

void InputMoments::reserve(const at::Tensor& rows) {
  if (!keeps_rows_) channel().reserve(rows);
}

void InputMoments::add(const at::Tensor& rows) {
  count_ += rows.size(0);
  dtype_ = dtype_of(rows.scalar_type());
  if (!keeps_rows_) return channel().add(rows);
  rows_.push_back(rows.clone());  // the stream is overwritten
  kept_bytes_ += static_cast<double>(rows.nbytes());
  const auto d = static_cast<double>(hidden_size_);
  if (kept_bytes_ > kMatrices * d * d * sizeof(double)) give_up_rows();
}

void InputMoments::give_up_rows() {
  for (const at::Tensor& rows : rows_) channel().add(rows);
  rows_.clear();
  keeps_rows_ = false;
}

const RowMoments& InputMoments::moments() {
  std::call_once(finished_, [&] {
    give_up_rows();
    moments_ = channel().finish();
    channel_.reset();
  });
  return moments_;
}

void InputMoments::merge(Communicator& ranks, int owner) {
  moments();
  moments_ = merge_moments(std::move(moments_), ranks, owner);
  count_ = moments_.count;
}

}  // namespace deadray
