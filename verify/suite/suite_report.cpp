#include "verify/suite/suite_report.h"

#include <fmt/format.h>

#include <algorithm>

#include "host/base/table/table.h"
#include "host/base/version.h"
#include "verify/suite/row_record.h"

namespace deadray {
namespace {

using Json = nlohmann::ordered_json;

std::string text(const Json& value, const char* pattern) {
  return value.is_number() ? fmt::format(fmt::runtime(pattern), value.get<double>()) : "–";
}

std::string verdict_cell(const Json& row) {
  if (!row.contains("verdict")) return row.at("state");
  const auto norms = row.at("norms").get<std::int64_t>();
  const std::string verdict = row.at("verdict");
  return norms == 1 ? verdict : fmt::format("{} ({} norms)", verdict, norms);
}

}  // namespace

std::string_view to_string(Outcome::State state) noexcept {
  switch (state) {
    case Outcome::State::measured:
      return "measured";
    case Outcome::State::kept:
      return "kept";
    case Outcome::State::failed:
      return "failed";
    case Outcome::State::not_downloaded:
      return "not downloaded";
    case Outcome::State::stopped:
      return "stopped";
    case Outcome::State::not_run:
      return "not run";
  }
  return "?";
}

std::optional<Outcome::State> state_from_name(std::string_view name) noexcept {
  using enum Outcome::State;
  for (const Outcome::State state : {measured, kept, failed, not_downloaded, stopped, not_run})
    if (name == to_string(state)) return state;
  return {};
}

Outcome outcome_with(Outcome::State state, nlohmann::ordered_json record) {
  const Verdict worst = worst_verdict(record);
  const ExitCode code = worst == Verdict::refuted        ? ExitCode::refuted
                        : worst == Verdict::undetermined ? ExitCode::undetermined
                                                         : ExitCode::done;
  return {state, code, {}, std::move(record)};
}

ExitCode exit_code_of(const std::vector<Outcome>& outcomes) {
  const auto first = [&](auto is) { return std::find_if(outcomes.begin(), outcomes.end(), is); };
  const auto of_code = [](ExitCode code) {
    return [code](const Outcome& outcome) { return outcome.code == code; };
  };
  if (first(of_code(ExitCode::refuted)) != outcomes.end()) return ExitCode::refuted;
  if (const auto failed =
          first([](const Outcome& outcome) { return outcome.state == Outcome::State::failed; });
      failed != outcomes.end())
    return failed->code;
  for (const ExitCode code : {ExitCode::undetermined, ExitCode::network})
    if (first(of_code(code)) != outcomes.end()) return code;
  return ExitCode::done;
}

nlohmann::ordered_json row_summary(const Row& row, const Outcome& outcome) {
  Json summary{{"model", row.entry.name},
               {"init", to_string(row.init)},
               {"state", to_string(outcome.state)}};
  if (outcome.record.is_null()) {
    const bool ran = outcome.state != Outcome::State::not_run;
    summary.update({{"code", ran ? Json(static_cast<int>(outcome.code)) : Json()},
                    {"reason", outcome.reason}});
  } else {
    summary["record"] = row.name() + ".json";
    summary.update(row_figures(outcome.record));
  }
  return summary;
}

nlohmann::ordered_json suite_record(const SuiteOptions& options, const Roster& roster,
                                    const std::vector<Row>& rows,
                                    const std::vector<Outcome>& outcomes, int code) {
  Json record{{"schema", "deadray/suite/1"},
              {"roster", {{"file", roster.file.string()}, {"note", roster.note}}}};
  if (options.shard) record["shard"] = shard_json(options, roster);
  record["rows"] = Json::array();
  for (std::size_t i = 0; i < rows.size(); ++i)
    record["rows"].push_back(row_summary(rows[i], outcomes[i]));
  record["code"] = code;
  record["environment"] = {{"version", version()}};
  return record;
}

std::string suite_table(const nlohmann::ordered_json& suite, bool coloured) {
  Table table({{"model"},
               {"weights"},
               {"norm"},
               {"d", Align::right},
               {"N", Align::right},
               {"|cos| exact", Align::right},
               {"deployed", Align::right},
               {"verdict"},
               {"seconds", Align::right},
               {"peak GiB", Align::right}});
  for (const Json& row : suite.at("rows")) {
    const auto cell = [&](const char* key, const char* pattern) {
      return row.contains(key) ? text(row.at(key), pattern) : "–";
    };
    table.add_row(
        {row.at("model"), row.at("init"), row.value("norm", "–"), cell("hidden_size", "{:.0f}"),
         cell("tokens", "{:.0f}"), cell("abs_cos_exact", "{:.6f}"),
         cell("abs_cos_deployed", "{:.6f}"), verdict_cell(row), cell("seconds", "{:.1f}"),
         row.contains("peak_memory_bytes")
             ? fmt::format("{:.2f}", row.at("peak_memory_bytes").get<double>() / (1 << 30))
             : "–"});
  }
  std::string result = table.render(coloured) +
                       "\n|cos|: of the final norm, between what gamma predicts and the bottom "
                       "eigenvectors measured; of 1/gamma, a control, where "
                       "nothing is predicted.\n";
  if (const std::string note = suite.at("roster").at("note"); !note.empty())
    result += "Roster: " + note + "\n";
  const auto word = [](const Json& row, const char* key) { return row.at(key).get<std::string>(); };
  for (const Json& row : suite.at("rows"))
    if (row.contains("reason") && row.at("reason") != "")
      result += fmt::format("{}, {}: {}: {}\n", word(row, "model"), word(row, "init"),
                            word(row, "state"), word(row, "reason"));
  return result;
}

}  // namespace deadray
