#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/base/error.h"
#include "verify/suite/row_figures.h"
#include "verify/suite/suite.h"

// What a suite's rows came to: exit code, record, table.
namespace deadray {

/// How a row ended.
struct Outcome {
  enum class State { measured, kept, failed, not_downloaded, stopped, not_run };
  State state = State::not_run;
  ExitCode code = ExitCode::done;  ///< of a stopped one 128 + signal
  std::string reason;              ///< of a row without a record
  nlohmann::ordered_json record;   ///< of one with a record
};
std::string_view to_string(Outcome::State state) noexcept;
std::optional<Outcome::State> state_from_name(std::string_view name) noexcept;

/// Of a row with a record: its code is that of the worst verdict.
Outcome outcome_with(Outcome::State state, nlohmann::ordered_json record);

/// Refuted when any row is; else the code of the first that failed; else undetermined when any is;
/// else network when any was not downloaded; else done.
ExitCode exit_code_of(const std::vector<Outcome>& outcomes);

/// What the suite's record says of a row.
nlohmann::ordered_json row_summary(const Row& row, const Outcome& outcome);

/// The record "deadray/suite/1"; that of a part has `shard` too.
/// @param code  with which the suite would end now: exit_code_of(), or 128 + a stop signal
nlohmann::ordered_json suite_record(const SuiteOptions& options, const Roster& roster,
                                    const std::vector<Row>& rows,
                                    const std::vector<Outcome>& outcomes, int code);
/// Its table, for people.
std::string suite_table(const nlohmann::ordered_json& suite, bool coloured);

}  // namespace deadray
