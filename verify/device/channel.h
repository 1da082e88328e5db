#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

#include "host/architecture/norm_parameters.h"
#include "host/architecture/norm_site.h"

namespace deadray {

/// A norm that is recomputed in FP64 from its input, minus beta: gamma * z.
struct RecomputedNorm {
  NormSite site;
  NormParameters parameters;
};

/// What a channel measures of the rows that pass it.
struct ChannelSpec {
  std::int64_t hidden_size = 0;
  /// Absent: the rows are measured as they are.
  std::optional<RecomputedNorm> norm{};
  /// [d] FP64, near the mean; taken off before the projections. Undefined: the first tile's mean.
  at::Tensor shift{};
  /// [K, d] FP64 unit rows; undefined: none.
  at::Tensor directions{};
  /// Without it nothing of size d^2 is kept.
  bool covariance = true;
};

/// First and second moments of the rows of one channel, FP64.
struct RowMoments {
  std::int64_t count = 0;
  /// [d]; undefined without `ChannelSpec::covariance`.
  at::Tensor mean{};
  /// [d, d], divisor N, exactly symmetric; undefined without `ChannelSpec::covariance`.
  at::Tensor covariance{};
  /// [K] along the directions, on the CPU; rows are projected first. Undefined without directions.
  at::Tensor variance{};
  /// [K], likewise: means of the projections of what is left when `ChannelSpec::shift` is off.
  at::Tensor projected{};
};

/// [d, d], uncentred: E[h h^T].
at::Tensor second_moment(const RowMoments& moments);

/// Accumulates the moments of rows that arrive tile by tile. One thread.
class Channel {
 public:
  virtual ~Channel() = default;
  /// Allocates what add() of these rows needs. After it, add() cannot run out of memory, so a tile
  /// counts whole or not at all.
  virtual void reserve(const at::Tensor& rows) = 0;
  /// @param rows  [n, d] in any float dtype, on the backend's device; n may be 0
  virtual void add(const at::Tensor& rows) = 0;
  /// To be called once, after the last row.
  virtual RowMoments finish() = 0;
};

}  // namespace deadray
