#include "verify/fisher/fisher_dump.h"

#include <ATen/ATen.h>
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
    Json one{{"site", site},
             {"consumer", direction.consumer},
             {"kind", to_string(direction.kind)},
             {"moves", Json::array()},
             {"norm", ""},
             {"shift", nullptr},
             {"fisher", fisher}};
    const auto add_move = [&](const auto& move, const Json& u, const Json& through) {
      one["moves"].push_back({{"consumer", move.consumer},
                              {"u", u},
                              {"through", through},
                              {"r", vectors.name_of(move.r)},
                              {"s", move.s}});
    };
    if (const auto* alone = std::get_if<ConsumerMove>(&direction.move)) {
      add_move(*alone, vectors.name_of(alone->u), nullptr);
    } else {
      const auto& shift = std::get<BetaShift>(direction.move);
      const Json a = vectors.name_of(shift.a);
      for (const Compensation& compensation : shift.compensations)
        add_move(compensation, nullptr, a);
      if (shift.norm) one["norm"] = *shift.norm, one["shift"] = a;
    }
    cases.push_back(std::move(one));
  }
  vectors.write(file, cases.dump());
}

}  // namespace deadray
