#include "verify/suite/row_figures.h"

#include <algorithm>
#include <string>

namespace deadray {
namespace {

using Json = nlohmann::ordered_json;

/// The final norm's entry; the last one where it was not measured.
const Json& final_site(const Json& sites) {
  const auto found = std::find_if(sites.begin(), sites.end(),
                                  [](const auto& site) { return site.at("final") == true; });
  return found == sites.end() ? sites.back() : *found;
}

/// A figure of a record; null where it was not measured.
/// @throws Json::exception where it is something else
template <typename Type>
const Json& figure(const Json& value) {
  if (!value.is_null()) value.get<Type>();
  return value;
}

/// The number that decides a reading: the least principal cosine of the predicted space, or that of
/// 1/gamma where none is predicted.
Json cosine(const Json& reading) {
  if (!reading.is_object()) return nullptr;
  const Json& cosines = reading.at("principal_cosines");
  if (cosines.empty()) return figure<double>(reading.at("abs_cos"));
  const auto least = [](const Json& a, const Json& b) { return a.get<double>() < b.get<double>(); };
  return figure<double>(*std::min_element(cosines.begin(), cosines.end(), least));
}

}  // namespace

Verdict worst_verdict(const nlohmann::ordered_json& record) {
  const Json& sites = record.at("sites");
  for (const Verdict verdict : {Verdict::refuted, Verdict::undetermined, Verdict::confirmed})
    if (std::any_of(sites.begin(), sites.end(),
                    [&](const Json& site) { return site.at("verdict") == to_string(verdict); }))
      return verdict;
  return Verdict::absent;
}

nlohmann::ordered_json row_figures(const nlohmann::ordered_json& record) {
  const Json &sites = record.at("sites"), &site = final_site(sites), &suite = record.at("suite"),
             &residual = record.at("residual");
  return {{"norm", site.at("norm").get<std::string>()},
          {"hidden_size", figure<double>(site.at("hidden_size"))},
          {"tokens", figure<double>(record.at("calibration").at("tokens"))},
          {"abs_cos_exact", cosine(site.at("exact"))},
          {"abs_cos_deployed", cosine(site.at("deployed"))},
          {"residual_preserved",
           residual.is_object() ? figure<bool>(residual.at("preserved")) : Json()},
          {"norms", sites.size()},
          {"verdict", to_string(worst_verdict(record))},
          {"seconds", figure<double>(suite.at("seconds"))},
          {"peak_memory_bytes", figure<double>(suite.at("peak_memory_bytes"))}};
}

}  // namespace deadray
