#include "verify/layers/vision_tower.h"

#include <cmath>
#include <map>
#include <utility>

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

/// What brings the blocks' output to the text: pooling and standardisation in FP32 at least, a
/// norm, a linear map.
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

}  // namespace

at::Tensor embed_pictures(const VisionTower& tower, const Weights& weights,
                          const std::vector<Picture>& pictures, at::ScalarType dtype,
                          const Passage& passage) {
  std::vector<at::Tensor> streams = embed_patches(tower, weights, pictures, dtype);
  std::map<std::pair<std::int64_t, std::int64_t>, Places> places;  // of each size of picture
  for (const Picture& picture : pictures)
    places.try_emplace(
        {picture.rows, picture.columns},
        places_of(tower.blocks.block(0).attention, coordinates_of(picture).to(at::kFloat), dtype,
                  weights.backend().device()));
  for (std::int64_t index = 0; index < tower.blocks.n_blocks; ++index) {
    const auto block = passage.load_block(index);
    for (std::size_t i = 0; i < pictures.size(); ++i) {
      const Places& where = places.at({pictures[i].rows, pictures[i].columns});
      at::Tensor next;
      passage.step([&] { next = (*block)(streams[i], where, passage.norm); });
      streams[i] = next;
    }
    weights.backend().synchronize();  // the memory of the block goes back
    for (const std::string& norm : block->norms()) passage.finished(norm);
  }
  std::optional<Projector> projector;
  weights.backend().load([&] { projector.emplace(tower, weights, dtype); });
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    at::Tensor rows;
    passage.step([&] { rows = (*projector)(streams[i], pictures[i], passage.norm); });
    streams[i] = rows;
  }
  weights.backend().synchronize();  // the projector's memory goes back too
  passage.finished(projector->norm());
  return at::cat(streams);
}

}  // namespace deadray
