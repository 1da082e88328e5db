#include "verify/fisher/fisher_dump.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "host/formats/safetensors_writer.h"

namespace deadray {

namespace {

using Json = nlohmann::ordered_json;

/// Names vectors, each once.
class Vectors {
 public:
  Json name_of(const at::Tensor& vector) {
    if (!vector.defined()) return nullptr;
    const at::Tensor values = vector.to(at::kCPU, at::kDouble).contiguous();
    for (std::size_t i = 0; i < all_.size(); ++i)
      if (all_[i].sizes() == values.sizes() && all_[i].equal(values)) return name(i);
    all_.push_back(values);
    return name(all_.size() - 1);
  }
  void write(const std::filesystem::path& file, const std::string& cases) const {
    std::vector<TensorDeclaration> declarations;
    for (std::size_t i = 0; i < all_.size(); ++i)
      declarations.push_back({name(i), DType::f64, all_[i].sizes().vec()});
    SafetensorsWriter writer(file, declarations, {{"cases", cases}});
    for (const at::Tensor& values : all_)
      writer.append(
          std::span(static_cast<const std::byte*>(values.const_data_ptr()), values.nbytes()));
    writer.finish();
  }

 private:
  static std::string name(std::size_t i) { return fmt::format("v{}", i); }
  std::vector<at::Tensor> all_;
};

}  // namespace

void write_directions(const std::filesystem::path& file,
                      std::span<const MeasuredDirection> directions) {
  Vectors vectors;
  Json cases = Json::array();
  for (const auto& [direction, site, fisher] : directions) {
    Json moves = Json::array();
    for (const ConsumerMove& move : direction.moves)
      moves.push_back({{"consumer", move.consumer},
                       {"u", vectors.name_of(move.u)},
                       {"through", vectors.name_of(move.through)},
                       {"r", vectors.name_of(move.r)},
                       {"s", move.s}});
    cases.push_back({{"site", site},
                     {"consumer", direction.consumer},
                     {"kind", to_string(direction.kind)},
                     {"moves", moves},
                     {"norm", direction.norm},
                     {"shift", vectors.name_of(direction.shift)},
                     {"fisher", fisher}});
  }
  vectors.write(file, cases.dump());
}

}  // namespace deadray
