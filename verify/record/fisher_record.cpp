#include "verify/record/fisher_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "host/base/in_quotes.h"
#include "host/base/table/table.h"
#include "verify/base/dtypes.h"
#include "verify/base/tensors.h"
#include "verify/device/environment_json.h"
#include "verify/fisher/fisher_verdict.h"

namespace deadray {

namespace {

using Json = nlohmann::ordered_json;

/// null where there are no values, or where one of them is NaN.
Json worst(const std::vector<double>& values) {
  return values.empty() ? Json() : Json(largest(values));
}
Json middle(const std::vector<double>& values) {
  return values.empty() ? Json() : Json(median(values));
}

Json or_null(const std::optional<double>& value) { return value ? Json(*value) : Json(); }

Json range(const std::vector<double>& values) {
  if (values.empty()) return nullptr;
  return {{"median", median(values)}, {"min", least(values)}, {"max", largest(values)}};
}

Json consumer_json(const ConsumerFisher& consumer, at::ScalarType dtype) {
  const DirectionGroup& group = decisive_group(consumer, dtype);
  const Judgement judgement = judge(consumer, dtype);
  const auto moved = [&](double Movement::* which) {
    return consumer.movement ? Json((*consumer.movement).*which) : Json();
  };
  return {{"name", consumer.claim.consumer},
          {"site", consumer.site},
          {"width", consumer.claim.width},
          {"claimed", consumer.claimed()},
          {"family", to_string(consumer.claim.family)},
          {"count", consumer.claim.count},
          {"why", consumer.not_measured.empty() ? consumer.claim.why : consumer.not_measured},
          {"dead", worst(group.dead)},
          {"weight_only", middle(group.weight_only)},
          {"random", range(group.random)},
          {"ratio", group.empty() ? Json() : Json(group.ratio())},
          {"kfac", worst(consumer.kfac_dead)},
          {"kfac_random", middle(consumer.kfac_random)},
          {"kernel_residual", or_null(consumer.kernel_residual)},
          {"invariance", moved(&Movement::dead)},
          {"invariance_random", moved(&Movement::random)},
          {"verdict",
           judgement.verdict == Verdict::absent ? Json() : Json(to_string(judgement.verdict))},
          {"reason", judgement.reason}};
}

std::int64_t dead_directions(const FisherMeasurement& measurement) {
  std::int64_t count = 0;
  for (const ConsumerFisher& consumer : measurement.consumers) count += consumer.claim.count;
  return count;
}

constexpr const char* kLegend =
    "F: Fisher information along a direction, for a token, under the model's own softmax (without "
    "a head: a Gaussian output).\n"
    "dead: dW = u (1/gamma)^T with what takes up the constant, a bias or beta; the worst of those "
    "drawn. weight only: the same, that\n"
    "forgotten. random: directions of the same norm. moved: how far outputs went, relative, at "
    "steps of 1, 10 and 100 times |W|.";

/// Columns that only some runs have.
struct OptionalColumns {
  bool kfac = false, moved = false;
};

OptionalColumns optional_columns(const FisherMeasurement& measurement) {
  OptionalColumns columns;
  for (const ConsumerFisher& consumer : measurement.consumers) {
    columns.kfac = columns.kfac || !consumer.kfac_dead.empty();
    columns.moved = columns.moved || consumer.movement.has_value();
  }
  return columns;
}

Table empty_table(const OptionalColumns& optional) {
  std::vector<Column> columns{{"consumer"}, {"dead directions", Align::right}};
  for (const char* title : {"F dead", "weight only", "F random", "least", "most", "dead/random"})
    columns.push_back({title, Align::right});
  if (optional.kfac)
    columns.insert(columns.end(), {{"K-FAC dead", Align::right}, {"K-FAC random", Align::right}});
  if (optional.moved)
    columns.insert(columns.end(), {{"moved, dead", Align::right}, {"moved, random", Align::right}});
  columns.push_back({"verdict"});
  return Table(columns);
}

/// @param row  consumer_json() of it
std::vector<std::string> cells_of(const ConsumerFisher& consumer, const Json& row,
                                  const OptionalColumns& optional) {
  const Json& random = row.at("random");
  const auto of_random = [&](const char* key) {
    return random.is_null() ? std::string("-") : fisher_cell(random.at(key));
  };
  std::vector<std::string> cells{
      consumer.claim.consumer,
      consumer.claimed() ? std::to_string(consumer.claim.count) : "none claimed",
      fisher_cell(row.at("dead")),
      fisher_cell(row.at("weight_only")),
      of_random("median"),
      of_random("min"),
      of_random("max"),
      fisher_cell(row.at("ratio"))};
  if (optional.kfac)
    cells.insert(cells.end(), {fisher_cell(row.at("kfac")), fisher_cell(row.at("kfac_random"))});
  if (optional.moved)
    cells.insert(cells.end(),
                 {fisher_cell(row.at("invariance")), fisher_cell(row.at("invariance_random"))});
  cells.push_back(row.at("verdict").is_null() ? "-" : row.at("verdict").get<std::string>());
  return cells;
}

/// Why what is not confirmed is not, a reason that repeats but once; and what --site all would add.
std::string remarks(const FisherMeasurement& measurement) {
  const auto& consumers = measurement.consumers;
  std::string text, last;
  bool any_claimed = false, any_judged = false, one_site = true;
  for (const ConsumerFisher& consumer : consumers) {
    const Judgement judgement = judge(consumer, measurement.dtype);
    any_claimed = any_claimed || consumer.claimed();
    any_judged = any_judged || judgement.verdict != Verdict::absent;
    one_site = one_site && consumer.site == consumers[0].site;
    if (judgement.verdict != Verdict::confirmed && judgement.reason != last)
      text +=
          fmt::format("{}: {}.\n", on_one_line(consumer.claim.consumer), last = judgement.reason);
  }
  if (any_claimed && !any_judged)
    text +=
        "Nothing that is claimed was measured here; --site all has the consumers of every norm.\n";
  if (!any_claimed && one_site)
    text +=
        "Nothing is claimed of what reads this norm; --site all has the consumers of every norm.\n";
  return text;
}

}  // namespace

std::string fisher_cell(const Json& value) {
  return value.is_null() ? "-" : fmt::format("{:.1e}", value.get<double>());
}

nlohmann::ordered_json fisher_record(const RecordHeader& header,
                                     const FisherMeasurement& measurement,
                                     const FisherOptions& options, const Backend& backend) {
  Json record = record_json(header, "deadray/fisher/1");
  record["directions"] = {{"dead", options.counts.dead}, {"controls", options.counts.controls}};
  record["limits"] = {{"ratio", dead_ratio_limit(measurement.dtype)}, {"invariance", kStill}};
  record["consumers"] = Json::array();
  for (const ConsumerFisher& consumer : measurement.consumers)
    record["consumers"].push_back(consumer_json(consumer, measurement.dtype));
  const auto count = dead_directions(measurement);
  record["totals"] = {{"dead_directions", count}, {"llc_lowering", static_cast<double>(count) / 2}};
  record["notes"] = header.notes;
  record["seconds"] = {{"predict", measurement.seconds.predict},
                       {"load", measurement.seconds.load},
                       {"kfac", measurement.kfac_seconds},
                       {"invariance", measurement.invariance_seconds},
                       {"total", measurement.seconds.total}};
  record["complete"] = !measurement.stopped;
  record["environment"] = environment_json(backend, header.hosts);
  return record;
}

std::string narrate(const RecordHeader& header, const FisherMeasurement& measurement,
                    bool coloured) {
  const OptionalColumns optional = optional_columns(measurement);
  Table table = empty_table(optional);
  for (const ConsumerFisher& consumer : measurement.consumers)
    table.add_row(cells_of(consumer, consumer_json(consumer, measurement.dtype), optional));
  const auto count = dead_directions(measurement);
  const std::string left_out = left_out_text(header);
  return fmt::format(
      "{} ({}, {} weights), {} tokens{}, {}\n\n{}\n{}{}\n{} dead directions of parameters claimed "
      "here: they lower the local learning coefficient by {:.1f}. Measuring took {:.2f} s.\n",
      on_one_line(header.name), on_one_line(header.family),
      header.source == Source::checkpoint ? "trained" : "random", header.tokens,
      left_out.empty() ? "" : fmt::format(" ({})", left_out), long_name(header.dtype),
      table.render(coloured), remarks(measurement), kLegend, count, static_cast<double>(count) / 2,
      measurement.seconds.total);
}

}  // namespace deadray
