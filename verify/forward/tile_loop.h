#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "verify/base/forward_mode.h"
#include "verify/device/backend.h"
#include "verify/forward/block_loader.h"
#include "verify/forward/observer_queue.h"

namespace deadray {

/// The residual stream, with its derivatives, and its way through the steps of a model: tile by
/// tile, each of whole sequences. Where the device's memory is too short for a tile, the block that
/// is read ahead is given up; where that is not enough, tiles are halved.
class TileLoop {
 public:
  /// @param directions  K derivatives that are carried beside the stream; 0: none
  /// @param shorten     for the message where one sequence does not fit: "give shorter sequences"
  TileLoop(Backend& backend, ObserverQueue& queue, BlockLoader& loader, std::int64_t directions,
           std::string shorten);

  /// Puts a stream in place of the one before.
  /// @param stream          [sequences, length, d]; changed in place from now on
  /// @param tile_sequences  that pass at once; taken as 1 where it is less
  /// @param block_bytes     what a block of weights takes beside the stream, for messages
  /// @param counted         its rows that count; undefined: all
  void begin(Dual stream, std::int64_t tile_sequences, double block_bytes, at::Tensor counted = {});
  /// Puts values [n, d], whose derivatives are zero, in some places of rows().
  void replace_rows(const at::Tensor& places, const at::Tensor& values);

  /// From a tile [sequences, length, d] and the number of its first sequence to what replaces the
  /// tile; undefined: nothing does. A step may ask for memory, but count nothing: where memory is
  /// short it comes again, with a smaller tile.
  using Step = std::function<at::Tensor(const at::Tensor& tile, std::int64_t first)>;
  /// Passes the whole stream through a step.
  /// @throws ResourceError with the sizes where a tile of one sequence does not fit
  void for_each_tile(const Step& step);

  /// [sequences, length, d].
  const at::Tensor& stream() const noexcept { return stream_; }
  /// The stream as rows [N, d], a view.
  at::Tensor rows() const { return stream_.view({-1, stream_.size(-1)}); }
  std::int64_t tile_sequences() const noexcept { return tile_sequences_; }
  /// What the user should know: where memory was short.
  const std::vector<std::string>& notes() const noexcept { return notes_; }

 private:
  Dual differentiate(const Step& step, const at::Tensor& x, std::int64_t first) const;
  void put_back(const Dual& tile, std::int64_t first);
  void make_room(std::int64_t sequences);
  [[noreturn]] void refuse() const;

  Backend& backend_;
  ObserverQueue& queue_;
  BlockLoader& loader_;
  std::int64_t directions_;
  std::string shorten_;
  at::Tensor stream_;    // [sequences, length, d]
  at::Tensor counted_;   // [sequences, length]; undefined: all
  at::Tensor tangents_;  // [K, sequences, length, d]; undefined: all zero
  std::int64_t tile_sequences_ = 1;
  double block_bytes_ = 0.0;
  std::vector<std::string> notes_;
};

}  // namespace deadray
