#include "verify/forward/tile_loop.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "host/base/error.h"
#include "verify/device/memory.h"

namespace deadray {

TileLoop::TileLoop(Backend& backend, ObserverQueue& queue, BlockLoader& loader,
                   std::int64_t directions, std::string shorten)
    : backend_(backend),
      queue_(queue),
      loader_(loader),
      directions_(directions),
      shorten_(std::move(shorten)) {}

void TileLoop::begin(Dual stream, std::int64_t tile_sequences, double block_bytes,
                     at::Tensor counted) {
  stream_ = std::move(stream.value);
  counted_ = std::move(counted);
  tangents_ = stream.tangents.defined() ? stream.tangents.contiguous() : at::Tensor();
  tile_sequences_ = std::max<std::int64_t>(1, tile_sequences);
  block_bytes_ = block_bytes;
}

void TileLoop::replace_rows(const at::Tensor& places, const at::Tensor& values) {
  rows().index_copy_(0, places, values);
  if (tangents_.defined())
    tangents_.view({tangents_.size(0), -1, tangents_.size(-1)}).index_fill_(1, places, 0.0);
}

void TileLoop::for_each_tile(const Step& step) {
  for (std::int64_t first = 0; first < stream_.size(0);) {
    const std::int64_t count = std::min(tile_sequences_, stream_.size(0) - first);
    const at::Tensor x = stream_.narrow(0, first, count),
                     counted = counted_.defined() ? counted_.narrow(0, first, count) : counted_;
    Dual next;
    if (!queue_.run([&] { next = differentiate(step, x, first); }, counted)) {
      make_room(count);
      continue;
    }
    put_back(next, first);
    first += count;
  }
  backend_.synchronize();  // the memory of the weights may go back to whoever loads
}

/// The step, with the derivatives of its tile.
Dual TileLoop::differentiate(const Step& step, const at::Tensor& x, std::int64_t first) const {
  if (directions_ == 0) return {step(x, first), {}};
  const Dual tile{x, tangents_.defined() ? tangents_.narrow(1, first, x.size(0)) : at::Tensor()};
  const ForwardMode mode(directions_);
  return mode.lower(step(mode.lift(tile), first));
}

void TileLoop::put_back(const Dual& tile, std::int64_t first) {
  if (!tile.value.defined()) return;
  stream_.narrow(0, first, tile.value.size(0)).copy_(tile.value);
  if (!tile.tangents.defined()) return;
  if (!tangents_.defined()) {
    std::vector<std::int64_t> shape = stream_.sizes().vec();
    shape.insert(shape.begin(), directions_);
    tangents_ = at::zeros(shape, stream_.options());
  }
  tangents_.narrow(1, first, tile.value.size(0)).copy_(tile.tangents);
}

/// After a tile of so many sequences did not fit: gives up the block that is not needed yet, or
/// halves the tile.
void TileLoop::make_room(std::int64_t sequences) {
  backend_.release_unused();
  if (loader_.give_up_ahead()) {
    backend_.release_unused();
    notes_.push_back(
        fmt::format("{}: not enough memory beside two blocks of weights: each is loaded when the "
                    "one before is done",
                    backend_.description()));
    return;
  }
  if (sequences == 1) refuse();
  tile_sequences_ = sequences / 2;
  const std::int64_t length = stream_.size(1);
  notes_.push_back(fmt::format("{}: not enough memory for tiles of {} tokens: went on with {}",
                               backend_.description(), sequences * length,
                               tile_sequences_ * length));
}

void TileLoop::refuse() const {
  throw ResourceError(fmt::format(
      "{}: not enough memory for one sequence of {} tokens: beside it stand a block of weights, "
      "{}, and the residual stream, {}; {} are free; {}",
      backend_.description(), stream_.size(1), size_text(block_bytes_),
      size_text(static_cast<double>(stream_.nbytes())),
      size_text(static_cast<double>(backend_.free_bytes())), shorten_));
}

}  // namespace deadray
