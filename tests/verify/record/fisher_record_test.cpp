#include "verify/record/fisher_record.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/verify/fisher/measured_consumer.h"

namespace deadray {
namespace {

using test::kNaN;
using test::measured_consumer;

// What is no number is null in the record: passed over, the rest of the list would look like the
// whole of it.
TEST(FisherRecordTest, ShowsNoFigureOfAListThatHoldsANaN) {
  ConsumerFisher consumer = measured_consumer({1e-33, kNaN, 1e-34}, {1e-4, kNaN, 2e-4});
  consumer.kfac_dead = {1e-30, kNaN};
  FisherMeasurement measurement;
  measurement.consumers = {consumer};
  const auto row =
      nlohmann::json::parse(fisher_record({}, measurement, {}).dump()).at("consumers").at(0);
  for (const char* key : {"dead", "kfac", "ratio"})
    EXPECT_TRUE(row.at(key).is_null()) << key << ": " << row.dump();
  for (const char* key : {"median", "min", "max"})
    EXPECT_TRUE(row.at("random").at(key).is_null()) << key << ": " << row.dump();
}

}  // namespace
}  // namespace deadray
