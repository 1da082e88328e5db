#include "verify/probe/measured_json.h"

#include <nlohmann/json.hpp>

namespace nlohmann {

template <class Value>
struct adl_serializer<std::optional<Value>> {
  static void to_json(json& to, const std::optional<Value>& from) {
    to = from ? json(*from) : json(nullptr);
  }
  static void from_json(const json& from, std::optional<Value>& to) {
    to = from.is_null() ? std::nullopt : std::optional(from.get<Value>());
  }
};

}  // namespace nlohmann

namespace deadray {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Eigenvalues, first, second, next, mean, last)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ScaledReading, dimension, principal_cosines, next, floor, gap)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Reading, tokens, hidden_size, abs_cos, inherited,
                                   principal_cosines, dimension, floor, lambda_v, eigenvalues,
                                   residual, gap, chance_p, random_variance, below, spectrum,
                                   driver, scaled)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Judgement, verdict, reason)

nlohmann::json measured_json(const SiteResult& result) {
  return {{"exact", result.exact},
          {"deployed", result.deployed},
          {"schur_input", result.schur_input},
          {"schur_output", result.schur_output},
          {"schur_null", result.schur_null},
          {"inherited", result.inherited},
          {"judgement", result.judgement}};
}

void set_measured(SiteResult& result, const nlohmann::json& measured) {
  measured.at("exact").get_to(result.exact);
  measured.at("deployed").get_to(result.deployed);
  measured.at("schur_input").get_to(result.schur_input);
  measured.at("schur_output").get_to(result.schur_output);
  measured.at("schur_null").get_to(result.schur_null);
  measured.at("inherited").get_to(result.inherited);
  measured.at("judgement").get_to(result.judgement);
}

}  // namespace deadray
