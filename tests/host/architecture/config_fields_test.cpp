#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "host/architecture/architecture.h"

namespace deadray {
namespace {

using Json = nlohmann::json;

Json read(const char* name) {
  return Json::parse(std::ifstream(std::string(DEADRAY_FIXTURES "/") + name));
}

/// Whether the description asked for `path` ("text_config.hidden_size"), or for it inside another
/// object but a part's own configuration (rope_theta of rope_parameters).
bool was_read(const Config& config, const std::string& path) {
  const auto dot = path.rfind('.') + 1;
  const std::string outer = path.substr(0, dot), field = path.substr(dot);
  const auto& read = config.keys_read();
  return std::any_of(read.begin(), read.end(), [&](const std::string& key) {
    if (!key.starts_with(outer)) return false;
    const std::string inner = key.substr(dot);
    return inner == field ||
           (inner.ends_with("." + field) && inner.find("_config.") == std::string::npos);
  });
}

/// Every field, those of parts by their paths: "text_config.hidden_size".
void list_fields(const Json& config, const std::string& outer, std::vector<std::string>& paths) {
  for (const auto& [field, value] : config.items()) {
    paths.push_back(outer + field);
    const bool is_part =
        field.ends_with("_config") && field != "per_layer_config" && value.is_object();
    if (is_part) list_fields(value, outer + field + ".", paths);
  }
}

// Every field of transformers' configuration classes decides something, is refused by name, or is
// listed with the reason why it has no effect: no model is run as if a field were not there. (A
// configuration is described with its defaults here; what other values do is the business of
// FamiliesTest.)
TEST(ConfigFieldsTest, NoneOfTransformersFieldsIsPassedOver) {
  const Json fields = read("config_fields.json"),
             without_effect = read("config_fields_without_effect.json");
  for (const Family& family : families()) {
    const std::string type(family.model_type);
    ASSERT_TRUE(fields.contains(type)) << type << ": run tests/fixtures/make_config_fields.py";
    const Config config = Config::parse(fields.at(type).dump(), type + "/config.json");
    describe_architecture(config);
    const Json own = without_effect.value(type, Json::object());
    std::vector<std::string> paths;
    list_fields(fields.at(type), "", paths);
    for (const std::string& field : paths) {
      const bool listed = without_effect.at("*").contains(field.substr(field.rfind('.') + 1)) ||
                          own.contains(field);
      EXPECT_TRUE(was_read(config, field) || listed)
          << type << "." << field << ": neither read nor listed as without effect";
      // A list that outlives its reason would hide the next field of this name.
      EXPECT_FALSE(was_read(config, field) && own.contains(field))
          << type << "." << field << ": read, but listed as without effect";
    }
    for (const auto& [field, reason] : own.items())
      EXPECT_NE(std::find(paths.begin(), paths.end(), field), paths.end()) << type << "." << field;
  }
}

}  // namespace
}  // namespace deadray
