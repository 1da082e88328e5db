#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "host/architecture.h"

namespace deadray {
namespace {

using Json = nlohmann::json;

Json read(const char* name) { return Json::parse(std::ifstream(std::string(DEADRAY_FIXTURES "/") + name)); }

bool was_read(const Config& config, const std::string& field) {
  const auto& read = config.keys_read();
  return std::any_of(read.begin(), read.end(), [&](const std::string& key) { return key == field || key.ends_with("." + field); });
}

// Every field of transformers' configuration classes decides something, is refused by name, or is listed with the reason why it has no
// effect: no model is run as if a field were not there. (A configuration is described with its defaults here; what other values do is the
// business of FamiliesTest.)
TEST(ConfigFieldsTest, NoneOfTransformersFieldsIsPassedOver) {
  const Json fields = read("config_fields.json"), without_effect = read("config_fields_without_effect.json");
  for (const Family& family : families()) {
    const std::string type(family.model_type);
    ASSERT_TRUE(fields.contains(type)) << type << ": run tests/fixtures/make_config_fields.py";
    const Config config = Config::parse(fields.at(type).dump(), type + "/config.json");
    describe_architecture(config);
    const Json own = without_effect.value(type, Json::object());
    for (const auto& [field, value] : fields.at(type).items()) {
      const bool listed = without_effect.at("*").contains(field) || own.contains(field);
      EXPECT_TRUE(was_read(config, field) || listed) << type << "." << field << ": neither read nor listed as without effect";
      // A list that outlives its reason would hide the next field of this name.
      EXPECT_FALSE(was_read(config, field) && own.contains(field)) << type << "." << field << ": read, but listed as without effect";
    }
    for (const auto& [field, reason] : own.items()) EXPECT_TRUE(fields.at(type).contains(field)) << type << "." << field;
  }
}

}  // namespace
}  // namespace deadray
