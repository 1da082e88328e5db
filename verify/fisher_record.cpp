#include "verify/fisher_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "host/table.h"
#include "verify/dtypes.h"
#include "verify/tensors.h"

namespace deadray {

namespace {

using Json = nlohmann::ordered_json;

double middle(const std::vector<double>& values) { return to_tensor(values).median().item<double>(); }

Json worst(const std::vector<double>& values) { return values.empty() ? Json() : Json(*std::max_element(values.begin(), values.end())); }

Json or_null(const std::optional<double>& value) { return value ? Json(*value) : Json(); }

Json range(const std::vector<double>& values) {
  if (values.empty()) return nullptr;
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  return {{"median", middle(values)}, {"min", *least}, {"max", *most}};
}

Json consumer_json(const ConsumerFisher& consumer) {
  const bool measured = !consumer.dead.empty();
  Json kfac;
  if (!consumer.kfac_dead.empty())
    kfac = {{"dead", worst(consumer.kfac_dead)}, {"random", middle(consumer.kfac_random)}, {"kernel", or_null(consumer.kernel_residual)}};
  Json movement;
  if (consumer.movement) movement = {{"dead", consumer.movement->dead}, {"random", consumer.movement->random}};
  return {{"name", consumer.claim.consumer},
          {"site", consumer.site},
          {"width", consumer.claim.width},
          {"claimed", consumer.claimed()},
          {"family", to_string(consumer.claim.family)},
          {"count", consumer.claim.count},
          {"why", consumer.not_measured.empty() ? consumer.claim.why : consumer.not_measured},
          {"dead", worst(consumer.dead)},
          {"weight_only", consumer.weight_only.empty() ? Json() : Json(middle(consumer.weight_only))},
          {"random", range(consumer.random)},
          {"ratio", measured ? Json(consumer.ratio()) : Json()},
          {"kfac", kfac},
          {"invariance", movement}};
}

std::int64_t dead_directions(const FisherMeasurement& measurement) {
  std::int64_t count = 0;
  for (const ConsumerFisher& consumer : measurement.consumers) count += consumer.claim.count;
  return count;
}

std::string figure(const Json& value) { return value.is_null() ? "-" : fmt::format("{:.1e}", value.get<double>()); }

}  // namespace

nlohmann::ordered_json fisher_record(const RecordHeader& header, const FisherMeasurement& measurement, const FisherOptions& options,
                                     const Backend& backend) {
  Json record = record_json(header, "deadray/fisher/1");
  record["directions"] = {{"dead", options.counts.dead}, {"controls", options.counts.controls}};
  record["consumers"] = Json::array();
  for (const ConsumerFisher& consumer : measurement.consumers) record["consumers"].push_back(consumer_json(consumer));
  const auto count = dead_directions(measurement);
  record["totals"] = {{"dead_directions", count}, {"llc_lowering", static_cast<double>(count) / 2}};
  record["notes"] = header.notes;
  record["seconds"] = {{"predict", measurement.seconds.predict},
                       {"load", measurement.seconds.load},
                       {"kfac", measurement.kfac_seconds},
                       {"invariance", measurement.invariance_seconds},
                       {"total", measurement.seconds.total}};
  record["environment"] = environment_json(backend);
  return record;
}

std::string narrate(const RecordHeader& header, const FisherMeasurement& measurement, bool coloured) {
  Table table({{"consumer"},
               {"dead directions", Align::right},
               {"F dead", Align::right},
               {"weight only", Align::right},
               {"random", Align::right},
               {"min", Align::right},
               {"max", Align::right},
               {"dead/random", Align::right},
               {"K-FAC dead", Align::right},
               {"random", Align::right},
               {"moved dead", Align::right},
               {"random", Align::right}});
  std::string remarks, last;
  for (const ConsumerFisher& consumer : measurement.consumers) {
    const Json row = consumer_json(consumer);
    const auto part = [&](const char* of, const char* key) { return row.at(of).is_null() ? std::string("-") : figure(row.at(of).at(key)); };
    table.add_row({consumer.claim.consumer, consumer.claimed() ? std::to_string(consumer.claim.count) : "none claimed",
                   figure(row.at("dead")), figure(row.at("weight_only")), part("random", "median"), part("random", "min"),
                   part("random", "max"), figure(row.at("ratio")), part("kfac", "dead"), part("kfac", "random"), part("invariance", "dead"),
                   part("invariance", "random")});
    const std::string why = row.at("why");
    if ((!consumer.claimed() || !consumer.not_measured.empty()) && why != last)
      remarks += fmt::format("{}: {}.\n", consumer.claim.consumer, last = why);
  }
  const auto count = dead_directions(measurement);
  return fmt::format(
      "{} ({}, {}), {} tokens, {}\n\n{}\n{}F: directional Fisher information for a token, the model's own softmax (or a Gaussian output "
      "where there is no head). "
      "dead: dW = u (1/gamma)^T with the bias or beta that takes up the constant, the worst of those drawn; weight only: the same without; "
      "random: "
      "directions of the same norm; moved: outputs after steps of 1 ... 100 |W|.\n{} dead directions of these consumers; they lower the "
      "local learning "
      "coefficient by {:.1f}. {:.2f} s.\n",
      header.name, header.family, to_string(header.source), header.tokens, long_name(header.dtype), table.render(coloured), remarks, count,
      static_cast<double>(count) / 2, measurement.seconds.total);
}

}  // namespace deadray
