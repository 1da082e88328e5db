#include "host/formats/lookup/name_table.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <limits>

namespace deadray {
namespace {

/// Names can be made to collide. A table in which one lies further from its place is given up.
constexpr std::size_t kMostSteps = 64;

}  // namespace

NameTable::NameTable(const std::vector<TensorInfo>& tensors) {
  if (tensors.size() >= std::numeric_limits<std::uint32_t>::max()) return;
  slots_.resize(std::bit_ceil(2 * tensors.size() + 1));
  const std::size_t mask = slots_.size() - 1;
  std::uint32_t number = 0;
  for (const TensorInfo& tensor : tensors) {
    const std::uint64_t hash = std::hash<std::string_view>{}(tensor.name);
    std::size_t at = hash & mask, steps = 0;
    for (; slots_[at].number != 0; at = (at + 1) & mask)
      if (++steps > kMostSteps) {
        slots_.clear();
        return;
      }
    slots_[at] = {static_cast<std::uint32_t>(hash >> 32), ++number};
  }
}

const TensorInfo* NameTable::find(const std::vector<TensorInfo>& tensors,
                                  std::string_view name) const noexcept {
  if (slots_.empty()) {
    const auto found = std::lower_bound(
        tensors.begin(), tensors.end(), name,
        [](const TensorInfo& t, std::string_view wanted) { return t.name < wanted; });
    return found != tensors.end() && found->name == name ? &*found : nullptr;
  }
  const std::size_t mask = slots_.size() - 1;
  const std::uint64_t hash = std::hash<std::string_view>{}(name);
  for (std::size_t at = hash & mask; slots_[at].number != 0; at = (at + 1) & mask) {
    if (slots_[at].hash != static_cast<std::uint32_t>(hash >> 32)) continue;
    const TensorInfo& tensor = tensors[slots_[at].number - 1];
    if (tensor.name == name) return &tensor;
  }
  return nullptr;
}

}  // namespace deadray
