#pragma once

#include "verify/suite/suite_report.h"

// A suite that ran in parts: the folders of the parts hold their records, and in shards/ a report
// of each part, which names the rows that it took and what became of those without a record.
namespace deadray {

/// All rows of the suite that the parts belong to, in its order.
struct MergedSuite {
  std::vector<Row> rows;
  std::vector<Outcome> outcomes;               ///< not_run, with the reason, where a row is missing
  std::vector<std::filesystem::path> records;  ///< where each record lies; empty: none
};

/// Puts the parts in the folders `options.merge` together. Nothing is written.
/// @throws UsageError      a folder without parts; parts of another roster; parts that were run
/// with
///                         different options or as parts of different numbers
/// @throws MalformedError  a damaged report; a row with two different records
MergedSuite merge_parts(const SuiteOptions& options, const Roster& roster);

}  // namespace deadray
