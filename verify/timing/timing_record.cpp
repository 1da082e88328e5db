#include "verify/timing/timing_record.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <tuple>

#include "host/base/table/table.h"
#include "host/base/time_text.h"
#include "verify/base/machine.h"
#include "verify/base/tensors.h"
#include "verify/device/environment_json.h"
#include "verify/record/record.h"
#include "verify/timing/power_law.h"

namespace deadray {
namespace {

using Json = nlohmann::ordered_json;

Json text_or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }
std::string peer_name(const TimingRow& row) { return row.peer ? row.peer->name : ""; }

Json identity_json(const TimingRow& row) {
  return {{"d", row.d},
          {"method", to_string(row.method)},
          {"device", row.device},
          {"model", text_or_null(row.model)},
          {"peer", text_or_null(peer_name(row))}};
}

Json or_null(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }

Json load_json(const MachineLoad& load) {
  return {{"others", or_null(load.others)},
          {"steal", or_null(load.steal)},
          {"waited", or_null(load.waited)},
          {"busy", load.known() ? Json(load.busy()) : Json(nullptr)}};
}

bool busy(const TimingRow& row) { return row.measured() && row.load.shares().busy(); }

Json row_json(const TimingRow& row) {
  const auto [least, most] = std::minmax_element(row.seconds.begin(), row.seconds.end());
  Json json = identity_json(row);
  json["version"] = row.peer ? Json(row.peer->version) : Json(nullptr);
  json["threads"] = row.threads;
  json["kernel"] = row.peer ? text_or_null(row.peer->kernel) : Json(nullptr);
  json["seconds"] = row.median_seconds();
  json["min"] = *least;
  json["max"] = *most;
  json["repetitions"] = row.seconds.size();
  json["load"] = load_json(row.load.shares());
  return json;
}

struct Fit {
  TimingMethod method = TimingMethod::predict;
  std::string device, peer;
  PowerLaw law;
};

/// One of each method, device and peer, in the order in which the first of them was measured.
std::vector<Fit> fits_of(const TimingRun& run) {
  std::vector<Fit> fits;
  for (const TimingRow& first : run.rows) {
    const auto key = [](const TimingRow& row) {
      return std::tuple(row.method, row.device, peer_name(row));
    };
    const bool known = std::any_of(fits.begin(), fits.end(), [&](const Fit& fit) {
      return std::tuple(fit.method, fit.device, fit.peer) == key(first);
    });
    if (known) continue;
    std::vector<CostPoint> points;
    for (const TimingRow& row : run.rows)
      if (key(row) == key(first) && row.measured())
        points.push_back({static_cast<double>(row.d), row.median_seconds()});
    if (points.empty()) continue;
    if (const auto law = fit_power_law(points))
      fits.push_back({first.method, first.device, peer_name(first), *law});
  }
  return fits;
}

/// What the row's eigendecomposition by deadray took; 0: not measured.
double eigh_seconds(const TimingRun& run, const TimingRow& of) {
  for (const TimingRow& row : run.rows)
    if (row.method == TimingMethod::eigh && !row.peer && row.d == of.d && row.device == of.device &&
        row.model == of.model && row.measured())
      return row.median_seconds();
  return 0;
}

std::string whose(const TimingRow& row) {
  return row.peer ? fmt::format("{} {}", row.peer->name, row.peer->version) : "deadray";
}

bool any_busy(const TimingRun& run) { return std::any_of(run.rows.begin(), run.rows.end(), busy); }

Table rows_table(const TimingRun& run) {
  std::vector<Column> columns = {{"d", Align::right},
                                 {"method"},
                                 {"of"},
                                 {"device"},
                                 {"median", Align::right},
                                 {"least", Align::right},
                                 {"most", Align::right},
                                 {"runs", Align::right},
                                 {"eigh takes", Align::right}};
  const bool marks = any_busy(run);
  if (marks) columns.push_back({"machine"});
  Table table(columns);
  for (const TimingRow& row : run.rows) {
    if (!row.measured()) continue;
    const auto [least, most] = std::minmax_element(row.seconds.begin(), row.seconds.end());
    const double median = row.median_seconds(), eigh = eigh_seconds(run, row);
    std::vector<std::string> cells = {fmt::format("{}", row.d),
                                      std::string(to_string(row.method)),
                                      whose(row),
                                      row.device,
                                      duration(median),
                                      duration(*least),
                                      duration(*most),
                                      fmt::format("{}", row.seconds.size()),
                                      eigh > 0 ? fmt::format("{:.3g} x", eigh / median) : ""};
    if (marks) cells.push_back(busy(row) ? "busy" : "");
    table.add_row(cells);
  }
  return table;
}

/// How busy the machine was; empty where the system does not tell.
std::string load_text(const TimingRun& run) {
  const MachineLoad load = run.load().shares();
  std::vector<std::string> parts;
  if (load.others)
    parts.push_back(
        fmt::format("other programs used {:.0f} % of the processors, {:.0f} % was stolen",
                    100 * *load.others, 100 * *load.steal));
  if (load.waited)
    parts.push_back(fmt::format("threads waited {:.0f} % of their time", 100 * *load.waited));
  std::string text;
  if (!parts.empty()) text = fmt::format("while this was measured {}\n", fmt::join(parts, ", "));
  if (any_busy(run))
    text += fmt::format(
        "busy: more than {:.0f} % of that row's time went elsewhere; such readings are "
        "upper bounds\n",
        100 * kBusyShare);
  return text;
}

std::string skipped_text(const TimingRun& run) {
  std::string text;
  for (const TimingRow& row : run.rows)
    if (!row.measured() && !row.skipped.empty())
      text += fmt::format("not measured: {} of {} at d = {}: {}\n", to_string(row.method),
                          whose(row), row.d, row.skipped);
  return text;
}

Table growth_table(const TimingRun& run) {
  Table growth({{"method"},
                {"of"},
                {"device"},
                {"grows as", Align::right},
                {"seconds at d = 1024", Align::right}});
  for (const Fit& fit : fits_of(run))
    growth.add_row({std::string(to_string(fit.method)), fit.peer.empty() ? "deadray" : fit.peer,
                    fit.device, fmt::format("d^{:.2f}", fit.law.exponent),
                    duration(fit.law.coefficient * std::pow(1024.0, fit.law.exponent))});
  return growth;
}

}  // namespace

double TimingRow::median_seconds() const { return median(seconds); }

LoadTimes TimingRun::load() const {
  LoadTimes sum;
  for (const TimingRow& row : rows) sum += row.load;
  return sum;
}

nlohmann::ordered_json timing_record(const TimingRun& run, const Backend& backend) {
  const Machine machine = this_machine();
  Json problems = Json::array(), rows = Json::array(), skipped = Json::array(),
       fits = Json::array();
  for (const TimedProblem& problem : run.problems)
    problems.push_back(
        {{"d", problem.d}, {"n", problem.n}, {"model", text_or_null(problem.model)}});
  for (const TimingRow& row : run.rows) {
    if (row.measured()) {
      rows.push_back(row_json(row));
    } else if (!row.skipped.empty()) {  // else a stop came first
      skipped.push_back(identity_json(row));
      skipped.back()["reason"] = row.skipped;
    }
  }
  for (const Fit& fit : fits_of(run))
    fits.push_back({{"method", to_string(fit.method)},
                    {"device", fit.device},
                    {"peer", text_or_null(fit.peer)},
                    {"exponent", fit.law.exponent},
                    {"coefficient", fit.law.coefficient},
                    {"points", fit.law.points}});
  return {
      {"schema", "deadray/timing/1"},
      {"complete", run.complete},
      {"date", utc_now()},
      {"commit", build_commit()},
      {"machine",
       {{"cpu", machine.cpu},
        {"cores", machine.cores},
        {"memory_bytes", machine.memory_bytes},
        {"load", load_json(run.load().shares())}}},
      {"options", {{"repetitions", run.repetitions}, {"budget", run.budget}, {"limit", run.limit}}},
      {"problems", problems},
      {"rows", rows},
      {"skipped", skipped},
      {"fits", fits},
      {"environment", environment_json(backend)}};
}

std::string timing_text(const TimingRun& run, bool coloured) {
  std::string text = rows_table(run).render(coloured);
  const Table growth = growth_table(run);
  for (const std::string& part :
       {skipped_text(run), growth.empty() ? std::string() : growth.render(coloured),
        load_text(run)})
    if (!part.empty()) text.append("\n").append(part);
  return text;
}

}  // namespace deadray
