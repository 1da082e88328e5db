#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "host/architecture/catalogued/type_catalogue.h"
#include "host/architecture/config.h"

namespace deadray {

/// A norm of the catalogue with what its tensors' names begin with in this model.
struct PlacedNorm {
  CataloguedNorm norm;
  std::string prefix;  ///< before `name`, of which a leading '/' is gone
  std::string part;    ///< key of config.json whose model it belongs to: "text_config."; or empty
  double eps = 0.0;
  /// Outputs of a map that shares the embedding's weight, as config.json ties them; 0: none does.
  std::int64_t tied_width = 0;

  std::string stem() const { return prefix + norm.name; }
};

/// The numbers in the places of "{}"; absent where `name` is none of the pattern's.
std::optional<std::vector<std::int64_t>> match(std::string_view pattern, std::string_view name);

/// The pattern with these numbers, "{+1}" one more; what is left of the pattern has none.
std::string filled(std::string_view pattern, const std::vector<std::int64_t>& numbers);

/// Every norm that a model's type, and the types of its parts, may have, by name of tensor.
class PlacedNorms {
 public:
  /// @param notes  gains a line for each part whose type the catalogue does not have
  PlacedNorms(const TypeCatalogue& catalogue, const CataloguedType& type, const Config& config,
              std::vector<std::string>& notes);

  struct Found {
    const PlacedNorm* norm = nullptr;
    std::vector<std::int64_t> numbers;
  };
  /// @param tensor  what it would be called with the endings of today
  std::optional<Found> find(std::string_view tensor) const;
  /// Pattern of each norm that stores nothing, and its kind.
  const std::map<std::string, std::string>& unscaled() const noexcept { return unscaled_; }

 private:
  void place(const CataloguedType& type, const Config& config,
             const std::vector<std::string>& before, bool is_final, int depth);
  void place_part(const CataloguedPart& part, const Config& config,
                  const std::vector<std::string>& before, bool is_final, int depth);
  void add(CataloguedNorm norm, std::string prefix, const Config& config);

  const TypeCatalogue& catalogue_;
  std::vector<std::string>& notes_;
  std::vector<PlacedNorm> norms_;
  std::unordered_multimap<std::string, std::size_t>
      by_pattern_;  ///< of the scale, all numbers open
  std::map<std::string, std::string> unscaled_;
};

}  // namespace deadray
