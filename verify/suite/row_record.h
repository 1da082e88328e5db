#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "verify/suite/suite.h"

// The files that a suite leaves, and what tells whether they still stand.
namespace deadray {

std::filesystem::path record_file(const SuiteOptions& options, const Row& row);

/// The report of the whole suite; of a part one in a folder beside the records, so that parts can
/// share them.
std::filesystem::path report_file(const SuiteOptions& options);
/// The folder of the parts' reports.
std::filesystem::path shards_folder(const std::filesystem::path& out);

/// Tells an edited text from the one before, no more.
std::string fingerprint(std::string_view text);

/// What a row's figures depend on, for --resume: the configuration, which weights, which tokens,
/// the kind of device, and the options that matter. A hash stands for a configuration; name, size
/// and time stand for a file.
nlohmann::ordered_json row_inputs(const SuiteOptions& options, const Row& row,
                                  const RowSource& source);

/// What a part's report says of the part: its place, and what all parts of one suite have in
/// common: their number, the roster (by hash), which of its rows, and the options that matter.
nlohmann::ordered_json shard_json(const SuiteOptions& options, const Roster& roster);

/// The first key under which two sets of inputs differ, whatever their order; empty: none.
std::string difference(const nlohmann::json& was, const nlohmann::json& is);

/// The text of a file that a suite has left. It may be anybody's: what is nested deeper than any
/// record is not kept, since copying and destroying it would take as many stack frames.
/// @return discarded where it is damaged or so deep
nlohmann::ordered_json parse_left(std::string_view text);

/// The record that a run has left of a row.
struct RowRecord {
  std::optional<nlohmann::ordered_json> whole;  ///< the record, where it stands for the row
  std::string flaw;                             ///< why there is a record that does not
};
/// Neither where there is no record.
RowRecord read_record(const SuiteOptions& options, const Row& row, const RowSource& source);

}  // namespace deadray
