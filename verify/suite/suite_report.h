#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "host/base/error.h"
#include "verify/suite/suite.h"

// What a suite's rows came to: exit code, record, table.
namespace deadray {

/// The worst of a record's norms: refuted, undetermined, confirmed, absent.
std::string worst_verdict(const nlohmann::ordered_json& record);

/// How a row ended.
struct Outcome {
  enum class State {
    measured,
    kept,
    failed,
    not_downloaded,
    stopped,
    not_run
  } state = State::not_run;
  ExitCode code = ExitCode::done;  ///< of a stopped one 128 + signal
  std::string reason;              ///< of a row without a record
  nlohmann::ordered_json record;   ///< of one with a record
};
std::string_view to_string(Outcome::State state) noexcept;

/// 1 when any row was refuted; else the code of the first that failed; else 8 when any is
/// undetermined; else 5 when any was not downloaded.
ExitCode exit_code_of(const std::vector<Outcome>& outcomes);

/// The record "deadray/suite/1".
/// @param code  with which the suite ends, or would if it ended now: exit_code_of(), or 128 + a
/// stop signal
nlohmann::ordered_json suite_record(const SuiteOptions& options, const Roster& roster,
                                    const std::vector<Row>& rows,
                                    const std::vector<Outcome>& outcomes, int code);
/// Its table, for people.
std::string suite_table(const nlohmann::ordered_json& suite, bool coloured);

}  // namespace deadray
