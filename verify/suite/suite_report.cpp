#include "verify/suite/suite_report.h"

#include <fmt/format.h>

#include <algorithm>

#include "host/base/version.h"
#include "host/command/table.h"

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

nlohmann::ordered_json suite_record(const SuiteOptions& options, const Roster& roster,
                                    const std::vector<Row>& rows,
                                    const std::vector<Outcome>& outcomes, int code) {
  Json list = Json::array();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Outcome& outcome = outcomes[i];
    Json row{{"model", rows[i].entry.name},
             {"init", to_string(rows[i].init)},
             {"state", to_string(outcome.state)}};
    if (outcome.record.is_null()) {
      const bool ran = outcome.state != Outcome::State::not_run;
      row.update({{"code", ran ? Json(static_cast<int>(outcome.code)) : Json()},
                  {"reason", outcome.reason}});
    } else {
      row["record"] = record_file(options, rows[i]).filename().string();
      row.update(row_figures(outcome.record));
    }
    list.push_back(std::move(row));
  }
  return {{"schema", "deadray/suite/1"},
          {"roster", {{"file", roster.file.string()}, {"note", roster.note}}},
          {"rows", list},
          {"code", code},
          {"environment", {{"version", version()}}}};
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
