#include "verify/record/cause_record.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "host/base/in_quotes.h"
#include "host/base/table/table.h"
#include "verify/base/dtypes.h"
#include "verify/base/tensors.h"
#include "verify/device/environment_json.h"
#include "verify/fisher/fisher_verdict.h"
#include "verify/record/fisher_record.h"

namespace deadray {

namespace {

using flat::CauseFisher;
using flat::CauseMeasurement;
using Json = nlohmann::ordered_json;

Json order_json(const std::optional<flat::Order>& order) {
  if (!order) return nullptr;
  Json samples = Json::array();
  for (const flat::Sample& sample : order->samples)
    samples.push_back({{"t", sample.t}, {"fisher", sample.fisher}});
  return {{"kind", flat::to_string(order->kind)},
          {"k", order->k > 0 ? Json(order->k) : Json()},
          {"slope", order->slope ? Json(*order->slope) : Json()},
          {"samples", std::move(samples)}};
}

Json cause_json(const CauseFisher& cause, at::ScalarType dtype) {
  const DirectionGroup& group = cause.group;
  const Judgement judgement = judge(cause, dtype);
  const bool measured = !group.empty();
  return {{"cause", cause.cause},
          {"stack", cause.stack},
          {"block", cause.block < 0 ? Json() : Json(cause.block)},
          {"dimension", cause.dimension},
          {"why", cause.why},
          {"dead", measured ? Json(group.worst_dead()) : Json()},
          {"random", measured ? Json{{"median", median(group.random)},
                                     {"min", least(group.random)},
                                     {"max", largest(group.random)}}
                              : Json()},
          {"ratio", measured ? Json(group.ratio()) : Json()},
          {"invariance", cause.movement ? Json(cause.movement->dead) : Json()},
          {"invariance_random", cause.movement ? Json(cause.movement->random) : Json()},
          {"order", order_json(cause.order)},
          {"order_random", order_json(cause.random_order)},
          {"verdict",
           judgement.verdict == Verdict::absent ? Json() : Json(to_string(judgement.verdict))},
          {"reason", judgement.reason}};
}

std::int64_t flat_directions(const CauseMeasurement& measurement) {
  std::int64_t count = 0;
  for (const CauseFisher& cause : measurement.causes) count += cause.dimension;
  return count;
}

std::string place_of(const CauseFisher& cause) {
  const std::string block = cause.block < 0 ? "–" : std::to_string(cause.block);
  return cause.stack == "model" ? block : cause.stack + " " + block;
}

constexpr const char* kCauseLegend =
    "F: Fisher information along a direction, for a token. flat: the worst member drawn. random: "
    "directions of the\nsame size in the same tensors, or in others where those are flat "
    "altogether. moved: how far outputs went,\nrelative, at steps along the curve of 1, 10 and 100 "
    "times the parameters.";

Table table_of(const CauseMeasurement& measurement) {
  Table table({{"cause"},
               {"block"},
               {"flat", Align::right},
               {"F flat", Align::right},
               {"F random", Align::right},
               {"flat/random", Align::right},
               {"moved, flat", Align::right},
               {"moved, random", Align::right},
               {"order"},
               {"verdict"}});
  for (const CauseFisher& cause : measurement.causes) {
    if (cause.dimension == 0) continue;
    const Json row = cause_json(cause, measurement.dtype);
    table.add_row(
        {cause.cause, place_of(cause), std::to_string(cause.dimension), fisher_cell(row.at("dead")),
         row.at("random").is_null() ? "-" : fisher_cell(row.at("random").at("median")),
         fisher_cell(row.at("ratio")), fisher_cell(row.at("invariance")),
         fisher_cell(row.at("invariance_random")), cause.order ? to_string(*cause.order) : "-",
         row.at("verdict").is_null() ? "not measured" : row.at("verdict").get<std::string>()});
  }
  return table;
}

/// Why what is not confirmed is not, a reason that repeats but once.
std::string remarks(const CauseMeasurement& measurement) {
  const bool none_flat = flat_directions(measurement) == 0;
  std::string text, last;
  for (const CauseFisher& cause : measurement.causes) {
    const Judgement judgement = judge(cause, measurement.dtype);
    const std::string line = fmt::format("{}: {}.\n", cause.cause, judgement.reason);
    const bool is_shown = cause.dimension > 0 || none_flat;
    if (is_shown && judgement.verdict != Verdict::confirmed && line != last) text += last = line;
  }
  return text;
}

}  // namespace

nlohmann::ordered_json cause_record(const RecordHeader& header, const CauseMeasurement& measurement,
                                    const flat::CauseOptions& options, const Backend& backend) {
  Json record = record_json(header, "deadray/fisher/1");
  record["directions"] = {{"dead", options.directions}, {"controls", options.controls}};
  record["limits"] = {{"ratio", dead_ratio_limit(measurement.dtype)},
                      {"invariance", flat::kStillOnCurve}};
  record["consumers"] = Json::array();
  record["causes"] = Json::array();
  for (const CauseFisher& cause : measurement.causes)
    record["causes"].push_back(cause_json(cause, measurement.dtype));
  const auto count = flat_directions(measurement);
  record["totals"] = {{"dead_directions", count}, {"llc_lowering", static_cast<double>(count) / 2}};
  record["notes"] = header.notes;
  record["seconds"] = {{"load", measurement.seconds.load},
                       {"invariance", measurement.invariance_seconds},
                       {"order", measurement.order_seconds},
                       {"total", measurement.seconds.total}};
  record["complete"] = !measurement.stopped;
  record["environment"] = environment_json(backend, header.hosts);
  return record;
}

std::string narrate(const RecordHeader& header, const CauseMeasurement& measurement,
                    bool coloured) {
  const std::string left_out = left_out_text(header);
  const auto count = flat_directions(measurement);
  return fmt::format(
      "{} ({}, {} weights), {} tokens{}, {}\n\n{}\n{}{}\n{} flat directions of parameters by these "
      "causes: they lower the local learning coefficient by {:.1f}.\nMeasuring took {:.2f} s.\n",
      on_one_line(header.name), on_one_line(header.family),
      header.source == Source::checkpoint ? "trained" : "random", header.tokens,
      left_out.empty() ? "" : fmt::format(" ({})", left_out), long_name(header.dtype),
      table_of(measurement).render(coloured), remarks(measurement), kCauseLegend, count,
      static_cast<double>(count) / 2, measurement.seconds.total);
}

}  // namespace deadray
