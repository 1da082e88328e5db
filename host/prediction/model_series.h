#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace deadray {

/// Several models in the order in which they are compared, with the names that tell them apart.
struct ModelSeries {
  std::vector<std::filesystem::path> models;
  /// The last components of their paths that tell them apart; of a snapshot in the hub's cache the
  /// revision.
  std::vector<std::string> labels;
  /// The number of each, ascending, where they are checkpoints of one run; else empty.
  std::vector<std::int64_t> steps;
  /// Where each stood among the models that were given.
  std::vector<std::size_t> places;
};

/// Checkpoints of one run have labels that differ in numbers alone ("step2", "step10";
/// "checkpoint-500"; "step1000-tokens4B") and are sorted by the first number that is another in
/// each. Other models keep their order.
/// @param models  at least one
/// @param labels  one each, instead of what their paths tell; or none
ModelSeries order_models(const std::vector<std::filesystem::path>& models,
                         std::vector<std::string> labels = {});

}  // namespace deadray
