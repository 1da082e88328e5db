#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "host/census/census_model.h"

namespace deadray {

/// Blocks of one stack in which a cause gives the same, for the same reason.
struct CensusRow {
  const CensusEntry* first = nullptr;
  std::vector<std::int64_t> blocks;  ///< {-1}: of no block

  std::int64_t dimension() const {
    return static_cast<std::int64_t>(blocks.size()) * first->dimension;
  }
};
/// @param entries  cause by cause; they must outlive the rows
std::vector<CensusRow> rows_of(std::span<const CensusEntry> entries);

/// The table that `deadray census` shows: by cause, blocks that are alike in one row; then the
/// sums.
std::string to_text(const ModelCensus& model, bool coloured);

}  // namespace deadray
