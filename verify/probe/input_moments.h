#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "host/formats/dtype.h"
#include "verify/device/backend.h"
#include "verify/device/channel.h"
#include "verify/ranks/communicator.h"

namespace deadray {

/// The moments of the rows that enter a norm: for its Schur ratio, and for the null directions that
/// they bring along. Norms that read the same rows share one.
class InputMoments {
 public:
  /// @param rarely  whether few ask for the moments: then the rows are kept instead, as long as
  ///     they take no more memory than the matrices would, and moments() forms those
  InputMoments(std::int64_t hidden_size, bool rarely, Backend& backend);

  /// As Channel::reserve() and add().
  void reserve(const at::Tensor& rows);
  void add(const at::Tensor& rows);
  std::int64_t count() const noexcept { return count_; }
  /// Whether the next add() forms a product.
  bool forms_products() const noexcept { return !keeps_rows_; }
  /// Of the rows as they came.
  DType dtype() const noexcept { return dtype_; }

  /// After the last row. Any thread may ask.
  const RowMoments& moments();
  /// After the last row: they become those of the rows of all ranks, on rank `owner`. Collective;
  /// the rows were not kept (`rarely`).
  void merge(Communicator& ranks, int owner);

 private:
  Channel& channel();
  void give_up_rows();

  Backend* backend_;
  std::int64_t hidden_size_, count_ = 0;
  DType dtype_ = DType::f32;
  bool keeps_rows_;
  std::vector<at::Tensor> rows_;
  double kept_bytes_ = 0;
  std::unique_ptr<Channel> channel_;
  std::once_flag finished_;
  RowMoments moments_;
};

}  // namespace deadray
