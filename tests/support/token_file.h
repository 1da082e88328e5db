#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "host/formats/safetensors_writer.h"

namespace deadray::test {

/// Whole numbers by row.
using Rows = std::vector<std::vector<std::int64_t>>;

/// A file of tokens: `input_ids` and what stands beside it, by name, as I64.
inline void write_token_file(const std::filesystem::path& file,
                             const std::map<std::string, Rows>& tensors) {
  std::vector<TensorDeclaration> declarations;
  for (const auto& [name, rows] : tensors)
    declarations.push_back({name,
                            DType::i64,
                            {static_cast<std::int64_t>(rows.size()),
                             static_cast<std::int64_t>(rows.empty() ? 0 : rows[0].size())}});
  SafetensorsWriter writer(file, declarations);
  for (const auto& [name, rows] : tensors)
    for (const std::vector<std::int64_t>& row : rows) writer.append(std::as_bytes(std::span(row)));
  writer.finish();
}

/// Sequences of random tokens, and the same with more behind them that a mask hides, in a batch
/// that has a wholly hidden one too.
struct PaddedBatch {
  Rows ids, padded_ids, mask;
};
inline PaddedBatch padded_batch(std::size_t sequences, std::size_t length, std::size_t padding,
                                std::int64_t vocabulary) {
  std::mt19937 generator(0);
  const auto draw = [&](std::size_t count) {
    std::vector<std::int64_t> ids(count);
    for (std::int64_t& id : ids) id = static_cast<std::int64_t>(generator()) % vocabulary;
    return ids;
  };
  PaddedBatch batch;
  for (std::size_t i = 0; i <= sequences; ++i) {
    batch.padded_ids.push_back(draw(length + padding));
    batch.mask.emplace_back(length + padding, 0);
    if (i == 0) continue;  // the wholly hidden one
    std::fill_n(batch.mask.back().begin(), length, 1);
    batch.ids.push_back(batch.padded_ids.back());
    batch.ids.back().resize(length);
  }
  return batch;
}

}  // namespace deadray::test
