#include "verify/probe/site_json.h"

#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>
#include <string>

#include "host/base/json/json_numbers.h"
#include "host/prediction/prediction_json.h"

namespace deadray {
namespace {

using Json = nlohmann::ordered_json;

/// Four significant digits: what a picture needs, in a third of the text. A value whose four digits
/// are no double, beyond the largest one, stays as it is.
double rounded(double value) {
  const std::string digits = fmt::format("{:.3e}", value);
  // std::stod would throw for subnormal numbers.
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}
Json rounded(const std::vector<double>& values) {
  Json list = Json::array();
  for (const double value : values) list.push_back(number(rounded(value)));
  return list;
}

Json spectrum_json(const SiteResult& result) {
  const auto of = [](const std::optional<Reading>& reading) {
    return reading && !reading->spectrum.empty() ? rounded(reading->spectrum) : Json();
  };
  const Json exact = of(result.exact), deployed = of(result.deployed);
  if (exact.is_null() && deployed.is_null()) return nullptr;
  return {{"index", spectrum_indices(result.site.hidden_size)},
          {"exact", exact},
          {"deployed", deployed}};
}

Json scaled_json(const std::optional<ScaledReading>& scaled) {
  if (!scaled) return nullptr;
  return {{"principal_cosines", numbers(scaled->principal_cosines)},
          {"dimension", scaled->dimension},
          {"next", number(scaled->next)},
          {"floor", number(scaled->floor)},
          {"gap", number(scaled->gap)}};
}

Json reading_json(const std::optional<Reading>& reading) {
  if (!reading) return nullptr;
  const Eigenvalues& lambda = reading->eigenvalues;
  return {{"abs_cos", number(reading->abs_cos)},
          {"principal_cosines", numbers(reading->principal_cosines)},
          {"dimension", reading->dimension},
          {"lambda_v", number(reading->lambda_v)},
          {"eigenvalues",
           {{"first", number(lambda.first)},
            {"second", number(lambda.second)},
            {"next", number(lambda.next)},
            {"mean", number(lambda.mean)},
            {"last", number(lambda.last)}}},
          {"residual", number(reading->residual)},
          {"chance_p", number(reading->chance_p)},
          {"floor", number(reading->floor)},
          {"gap", number(reading->gap)},
          {"depth", number(reading->lambda_v / lambda.mean)},
          {"below", reading->below},
          {"random_variance", number(reading->random_variance)},
          {"driver", reading->driver},
          {"scaled", scaled_json(reading->scaled)}};
}

}  // namespace

Json site_json(const SiteResult& result) {
  return {{"name", result.site.name},
          {"norm", to_string(result.site.kind)},
          {"final", result.site.is_final},
          {"hidden_size", result.site.hidden_size},
          {"rows", result.decisive().tokens},
          {"predicted", to_json(result.predicted)},
          {"inherited", result.inherited},
          {"gamma", gamma_json(result.site, result.predicted)},
          {"exact", reading_json(result.exact)},
          {"deployed", reading_json(result.deployed)},
          {"spectrum", spectrum_json(result)},
          {"schur",
           {{"input", number(result.schur_input)},
            {"output", number(result.schur_output)},
            {"null", number(result.schur_null)}}},
          {"verdict", to_string(result.judgement.verdict)},
          {"reason", result.judgement.reason}};
}

}  // namespace deadray
