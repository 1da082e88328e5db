#include "verify/record/record.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

namespace deadray {
namespace {

/// What a record says of one norm whose measured spectrum is `values`.
nlohmann::ordered_json recorded_spectrum(const std::vector<double>& values) {
  SiteResult result;
  result.exact.emplace().spectrum = values;
  Measurement measurement;
  measurement.sites.push_back(result);
  return verify_record({}, measurement)["sites"][0]["spectrum"]["exact"];
}

TEST(VerifyRecord, RoundsTheSpectrumToFourDigits) {
  EXPECT_EQ(recorded_spectrum({0.0, 1.23456, -1.23456e-17, 9.9999e5}),
            (std::vector<double>{0.0, 1.235, -1.235e-17, 1e6}));
}

TEST(VerifyRecord, HoldsAnyFiniteEigenvalueAndNullForOthers) {
  using Limits = std::numeric_limits<double>;
  const auto list = recorded_spectrum({1.23456e-310, -1e-310, Limits::denorm_min(), Limits::min(),
                                       Limits::max(), Limits::quiet_NaN(), Limits::infinity()});
  EXPECT_EQ(list[0], 1.235e-310);
  EXPECT_EQ(list[1], -1e-310);
  EXPECT_EQ(list[2], Limits::denorm_min());
  EXPECT_EQ(list[3], 2.225e-308);  // a subnormal number: Limits::min() rounded down
  EXPECT_EQ(list[4], Limits::max()) << "four digits of it, 1.798e308, are no double";
  EXPECT_TRUE(list[5].is_null() && list[6].is_null());
}

TEST(VerifyRecord, TellsWhatTheInputBringsAlongAndWhatTheScaledCovarianceSays) {
  Measurement measurement;
  SiteResult result;
  result.exact.emplace();
  measurement.sites.push_back(result);
  result.inherited = 20;
  result.exact->scaled = ScaledReading{3, {1.0, 0.5}, 0.25, 1e-14, 2.5e13};
  measurement.sites.push_back(result);
  const auto sites = verify_record({}, measurement)["sites"];
  EXPECT_EQ(sites[0]["inherited"], 0);
  EXPECT_TRUE(sites[0]["exact"]["scaled"].is_null());
  EXPECT_EQ(sites[1]["inherited"], 20);
  EXPECT_EQ(sites[1]["exact"]["scaled"], (nlohmann::ordered_json{{"principal_cosines", {1.0, 0.5}},
                                                                 {"dimension", 3},
                                                                 {"next", 0.25},
                                                                 {"floor", 1e-14},
                                                                 {"gap", 2.5e13}}));
}

}  // namespace
}  // namespace deadray
