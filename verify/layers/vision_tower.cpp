#include "verify/layers/vision_tower.h"

#include <ATen/ATen.h>

#include <cmath>
#include <map>
#include <utility>

#include "verify/layers/linear.h"
#include "verify/layers/places.h"

namespace deadray {

namespace {

/// Column and row of each patch, [rows * columns, 2] int64.
at::Tensor coordinates_of(const Picture& picture) {
  const at::Tensor index = at::arange(picture.rows * picture.columns, at::kLong);
  return at::stack({index.remainder(picture.columns), index.floor_divide(picture.columns)}, 1);
}

at::ScalarType wide(at::ScalarType dtype) { return dtype == at::kDouble ? dtype : at::kFloat; }

/// [1, patches, width] of each picture.
std::vector<at::Tensor> embed_patches(const VisionTower& tower, const Weights& weights,
                                      const std::vector<Picture>& pictures, at::ScalarType dtype) {
  std::vector<at::Tensor> streams;
  weights.backend().load([&] {
    const Linear patches = load_linear(weights, tower.patches, -1, dtype);
    const at::Tensor positions = weights.load(tower.positions, -1, dtype);
    for (const Picture& picture : pictures) {
      const at::Tensor pixels = (2.0 * (picture.patches - 0.5)).to(dtype).to(positions.device());
      const at::Tensor place = coordinates_of(picture).to(positions.device());
      const at::Tensor added = positions[0].index_select(0, place.select(1, 0)) +
                               positions[1].index_select(0, place.select(1, 1));
      streams.push_back((patches(pixels) + added).unsqueeze(0));
    }
  });
  return streams;
}

/// Brings the blocks' output to the text: pooling and standardisation, in FP32 at least, then a
/// norm and a linear map.
class Projector {
 public:
  Projector(const VisionTower& tower, const Weights& weights, at::ScalarType dtype)
      : pooling_(tower.pooling),
        norm_(weights, tower.norm, -1, dtype),
        projection_(load_linear(weights, tower.projection, -1, dtype)) {
    if (tower.shift) shift_ = weights.load(*tower.shift, -1, dtype).to(wide(dtype));
    if (tower.scale) scale_ = weights.load(*tower.scale, -1, dtype).to(wide(dtype));
  }

  /// @param x  [1, patches, width] @return [rows, d of the text]
  at::Tensor operator()(const at::Tensor& x, const Picture& picture, const NormCall& call) const {
    const auto dtype = x.scalar_type();
    const std::int64_t width = x.size(2), k = pooling_;
    const at::Tensor blocks =
        x.to(wide(dtype)).view({picture.rows / k, k, picture.columns / k, k, width});
    at::Tensor z = blocks.mean(at::IntArrayRef{1, 3}).flatten(0, 1).to(dtype);
    z = z.to(wide(dtype)) * std::sqrt(static_cast<double>(width));
    if (shift_.defined()) z = z - shift_;
    if (scale_.defined()) z = z * scale_;
    return projection_(call(norm_, z.to(dtype)));
  }
  const std::string& norm() const { return norm_.name(); }

 private:
  std::int64_t pooling_;
  Norm norm_;
  Linear projection_;
  at::Tensor shift_, scale_;  // undefined: none
};

/// The places of each size of picture, by rows and columns.
using PlacesBySize = std::map<std::pair<std::int64_t, std::int64_t>, Places>;

PlacesBySize places_by_size(const VisionTower& tower, const std::vector<Picture>& pictures,
                            at::ScalarType dtype, at::Device device) {
  const AttentionSpec& attention = tower.blocks.block(0).attention;
  PlacesBySize places;
  for (const Picture& picture : pictures) {
    const TokenPlaces patches{coordinates_of(picture).to(at::kFloat).unsqueeze(0)};
    places.try_emplace({picture.rows, picture.columns},
                       AttentionPlaces(attention, patches, dtype, device).tile(0, 1));
  }
  return places;
}

}  // namespace

at::Tensor embed_pictures(const VisionTower& tower, const Weights& weights,
                          const std::vector<Picture>& pictures, at::ScalarType dtype,
                          const TowerRun& run) {
  Backend& backend = weights.backend();
  std::vector<at::Tensor> streams = embed_patches(tower, weights, pictures, dtype);
  const PlacesBySize places = places_by_size(tower, pictures, dtype, backend.device());
  for (std::int64_t index = 0; index < tower.blocks.n_blocks; ++index) {
    const auto block = run.load_block(index);
    for (std::size_t i = 0; i < pictures.size(); ++i) {
      const Places& of_picture = places.at({pictures[i].rows, pictures[i].columns});
      at::Tensor next;
      run.step([&] { next = (*block)(streams[i], of_picture, run.norm); });
      streams[i] = next;
    }
    backend.synchronize();  // the memory of the block goes back
    for (const std::string& norm : block->norms()) run.finished(norm);
  }
  std::optional<Projector> projector;
  backend.load([&] { projector.emplace(tower, weights, dtype); });
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    at::Tensor rows;
    run.step([&] { rows = (*projector)(streams[i], pictures[i], run.norm); });
    streams[i] = rows;
  }
  backend.synchronize();  // the projector's memory goes back too
  run.finished(projector->norm());
  return at::cat(streams);
}

}  // namespace deadray
