#include "host/census/report/census_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "host/base/table/table.h"

namespace deadray {
namespace {

bool are_alike(const CensusEntry& a, const CensusEntry& b) {
  return a.cause == b.cause && a.stack == b.stack && a.dimension == b.dimension && a.why == b.why &&
         (a.block < 0) == (b.block < 0);
}

/// "0–10, 12"; "–" for what is of no block.
std::string blocks_cell(const CensusRow& row) {
  std::vector<std::string> runs;
  for (std::size_t i = 0; i < row.blocks.size();) {
    std::size_t end = i + 1;
    while (end < row.blocks.size() && row.blocks[end] == row.blocks[end - 1] + 1) ++end;
    runs.push_back(end - i == 1 ? fmt::format("{}", row.blocks[i])
                                : fmt::format("{}–{}", row.blocks[i], row.blocks[end - 1]));
    i = end;
  }
  const std::string blocks = row.first->block < 0 ? "–" : fmt::format("{}", fmt::join(runs, ", "));
  return row.first->stack == "model" ? blocks : fmt::format("{} {}", row.first->stack, blocks);
}

std::string causes_table(const Census& census, bool coloured) {
  Table table(
      {{"cause"}, {"blocks"}, {"each", Align::right}, {"directions", Align::right}, {"why none"}});
  for (const CensusRow& row : rows_of(census.causes))
    table.add_row({row.first->cause, blocks_cell(row), fmt::format("{}", row.first->dimension),
                   fmt::format("{}", row.dimension()), row.first->why});
  return table.render(coloured);
}

std::string apart(const Census& census) {
  std::string text;
  for (const CensusEntry& tensor : census.unreached_tensors)
    text += fmt::format("unreached: {} parameters of {}\n", tensor.dimension, tensor.cause);
  for (const CensusRow& row : rows_of(census.up_to_eps))
    text += fmt::format("flat but for eps: {} {}{}\n", row.dimension(), row.first->cause,
                        row.first->block < 0 ? "" : " in blocks " + blocks_cell(row));
  return text;
}

}  // namespace

std::vector<CensusRow> rows_of(std::span<const CensusEntry> entries) {
  std::vector<CensusRow> rows;
  for (const CensusEntry& entry : entries) {
    // A cause has few rows, and they are the last ones.
    auto row = std::find_if(rows.rbegin(), rows.rend(), [&](const CensusRow& r) {
      return are_alike(*r.first, entry) || r.first->cause != entry.cause;
    });
    if (row == rows.rend() || row->first->cause != entry.cause)
      rows.push_back({&entry, {entry.block}});
    else
      row->blocks.push_back(entry.block);
  }
  return rows;
}

std::string to_text(const ModelCensus& model, bool coloured) {
  const Census& census = model.census;
  const double share = 100.0 * static_cast<double>(census.flat) /
                       static_cast<double>(std::max<std::int64_t>(census.parameters, 1));
  return causes_table(census, coloured) + "\n" + apart(census) +
         fmt::format(
             "{}: {} of {} directions are flat ({:.3g} %), {} parameters are unreached\n"
             "local learning coefficient: at most ({} - {} - {})/2 = {:.1f}\n",
             model.name, census.flat, census.parameters, share, census.unreached, census.parameters,
             census.flat, census.unreached, census.llc_bound());
}

}  // namespace deadray
