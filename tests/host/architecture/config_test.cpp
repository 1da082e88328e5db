#include "host/architecture/config.h"

#include <nlohmann/json.hpp>

#include "tests/support/errors.h"
#include "tests/support/temporary_folder.h"

namespace deadray::test {
namespace {

Config sample() {
  return Config::parse(
      R"({"n": 12, "zero": 0, "below": -1, "f": 1e-5, "whole": 768.0, "big": 18446744073709551615,
          "yes": true, "s": "gelu", "none": null, "text_config": {"hidden_size": 64, "bad": "x"}})",
      "model/config.json");
}

template <typename Action>
std::string complaint(Action action) {
  return message_of(ExitCode::malformed, [&] { action(sample()); });
}

TEST(ConfigTest, GivesTypedValuesAndFallbacks) {
  const Config config = sample();
  EXPECT_EQ(config.integer("n"), 12);
  EXPECT_EQ(config.integer("none", 7), 7);
  EXPECT_EQ(config.integer("absent", 7), 7);
  EXPECT_EQ(config.positive("f"), 1e-5);
  EXPECT_EQ(config.positive("n"), 12.0);
  EXPECT_EQ(config.positive("absent", 0.5), 0.5);
  EXPECT_EQ(config.non_negative("zero", 0.5), 0.0);
  EXPECT_EQ(config.non_negative("absent", 0.5), 0.5);
  EXPECT_TRUE(config.flag("yes", false));
  EXPECT_TRUE(config.flag("absent", true));
  EXPECT_EQ(config.text("s"), "gelu");
  EXPECT_EQ(config.text("absent", "x"), "x");
  EXPECT_TRUE(config.has("n"));
  EXPECT_FALSE(config.has("none"));
  EXPECT_EQ(config.json().at("n"), 12);
}

TEST(ConfigTest, NamesFileKeyAndValueOfWrongTypes) {
  EXPECT_EQ(complaint([](const Config& c) { c.integer("n_embd"); }),
            "model/config.json: key 'n_embd' is missing, expected an integer from 1 to 2^30");
  EXPECT_EQ(complaint([](const Config& c) { c.integer("zero"); }),
            "model/config.json: key 'zero' is 0 (an integer), expected an integer from 1 to 2^30");
  EXPECT_TRUE(contains(complaint([](const Config& c) { c.integer("below", 4); }),
                       "key 'below' is -1 (an integer), expected an integer from 1 to 2^30"));
  EXPECT_TRUE(contains(complaint([](const Config& c) { c.integer("whole"); }),
                       "key 'whole' is 768.0 (a float)"));
  EXPECT_TRUE(contains(complaint([](const Config& c) { c.integer("big"); }),
                       "key 'big' is 18446744073709551615"));
  EXPECT_TRUE(contains(complaint([](const Config& c) { c.integer("s", 3); }),
                       "key 's' is \"gelu\" (a string)"));
  EXPECT_TRUE(contains(complaint([](const Config& c) { c.positive("yes"); }),
                       "key 'yes' is true, expected a number above 0"));
  EXPECT_TRUE(contains(complaint([](const Config& c) { c.flag("n", true); }),
                       "key 'n' is 12 (an integer), expected true or false"));
  EXPECT_TRUE(contains(complaint([](const Config& c) { c.text("none"); }),
                       "key 'none' is missing, expected a string"));
  EXPECT_TRUE(contains(complaint([](const Config& c) { c.object("n"); }),
                       "key 'n' is 12 (an integer), expected an object"));
}

TEST(ConfigTest, BoundsWhatAModelCanBeBuiltOf) {
  const auto config = [](const std::string& value) {
    return Config::parse("{\"x\": " + value + "}", "config.json");
  };
  EXPECT_EQ(config("1073741824").integer("x"), kLargestSize);
  for (const char* size : {"1073741825", "9000000000000000000", "9223372036854775808", "0", "-1"})
    EXPECT_TRUE(
        contains(message_of(ExitCode::malformed, [&] { config(size).integer("x", 4); }), size))
        << size;
  for (const char* value : {"0", "0.0", "-1e-5", "-3"}) {
    EXPECT_TRUE(contains(message_of(ExitCode::malformed, [&] { config(value).positive("x"); }),
                         "expected a number above 0"))
        << value;
    if (*value == '-') {
      EXPECT_TRUE(
          contains(message_of(ExitCode::malformed, [&] { config(value).non_negative("x", 1.0); }),
                   "at least 0"))
          << value;
    }
  }
}

TEST(ConfigTest, BoundsWhatIsDescribedOneByOne) {
  const auto config = [](const std::string& value) {
    return Config::parse("{\"x\": " + value + "}", "config.json");
  };
  EXPECT_EQ(config("10000").count("x"), kMostParts);
  EXPECT_EQ(config("null").count("x", 3), 3);
  for (const char* count : {"10001", "100000000", "0", "-1", "2.0"})
    EXPECT_TRUE(contains(message_of(ExitCode::malformed, [&] { config(count).count("x", 4); }),
                         std::string("key 'x' is ") + count))
        << count;
  EXPECT_EQ(message_of(ExitCode::malformed, [&] { config("1").count("n"); }),
            "config.json: key 'n' is missing, expected an integer from 1 to 10000");
}

TEST(ConfigTest, NamesKeysOfNestedObjectsInFullAndOutlivesItsParent) {
  const Config text = sample().object("text_config");
  EXPECT_EQ(text.integer("hidden_size"), 64);
  EXPECT_TRUE(contains(message_of(ExitCode::malformed, [&] { text.integer("bad"); }),
                       "key 'text_config.bad' is \"x\""));
}

TEST(ConfigTest, RequiresTheOnlySupportedValue) {
  const Config config = sample();
  EXPECT_NO_THROW(config.require("s", "gelu", "gelu"));
  EXPECT_NO_THROW(config.require("absent", true, "x"));
  EXPECT_NO_THROW(config.require("none", true, "x"));
  EXPECT_EQ(
      message_of(ExitCode::unsupported, [&] { config.require("yes", false, "models without it"); }),
      "model/config.json: yes is true; deadray runs models without it only");
}

TEST(ConfigTest, GathersWhatIsNotRun) {
  const Config config = sample();
  config.runs_only("s", "gelu", "gelu");
  config.runs_only("absent", true, "x");
  EXPECT_TRUE(config.not_run().empty());
  config.runs_only("yes", false, "models without it");
  config.runs_only("yes", false, "models without it");
  config.object("text_config").cannot_run("text_config.bad is odd");
  EXPECT_EQ(config.not_run(),
            (std::vector<std::string>{
                "model/config.json: yes is true; deadray runs models without it only",
                "model/config.json: text_config.bad is odd"}));
}

TEST(ConfigTest, ReadsPythonsNonNumbersWhereNobodyAsksForThem) {
  const Config config = Config::parse(
      R"({"x": [NaN, -Infinity, {"y": Infinity}], "n": 5, "s": "a \"NaN\" b", "z": Infinity})",
      "config.json");
  EXPECT_EQ(config.integer("n"), 5);
  EXPECT_EQ(config.text("s"), "a \"NaN\" b");
  EXPECT_TRUE(contains(message_of(ExitCode::malformed, [&] { config.positive("z"); }),
                       "key 'z' is \"Infinity\""));
  EXPECT_TRUE(contains(
      message_of(ExitCode::malformed, [] { Config::parse(R"({"x": NaN, "n" 5})", "config.json"); }),
      "not JSON at line 1"));
}

TEST(ConfigTest, LoadsFromAFolderOrBesideAWeightFile) {
  const TemporaryFolder folder;
  folder.write("config.json", R"({"n": 5})");
  const fs::path weights = folder.write("model.safetensors", "");
  EXPECT_EQ(Config::load(folder.path()).integer("n"), 5);
  EXPECT_EQ(Config::load(weights).integer("n"), 5);
  EXPECT_EQ(Config::load(weights).path(), folder / "config.json");
}

TEST(ConfigTest, FollowsNoLinkOutOfTheFolder) {
  const TemporaryFolder folder;
  folder.write("elsewhere.json", R"({"model_type": "gpt2"})");
  fs::create_directory(folder / "model");
  fs::create_symlink("../elsewhere.json", folder / "model/config.json");
  for (const char* model : {"model", "model/x.safetensors"}) {
    folder.write("model/x.safetensors", "");
    EXPECT_TRUE(contains(message_of(ExitCode::malformed, [&] { Config::load(folder / model); }),
                         "config.json: is a link out of the model's folder, to "));
  }
}

TEST(ConfigTest, SaysWhatToDoWhenItIsMissing) {
  const TemporaryFolder folder;
  EXPECT_TRUE(contains(message_of(ExitCode::malformed, [&] { Config::load(folder.path()); }),
                       "config.json: missing: "));
  const fs::path weights = folder.write("model.safetensors", "");
  EXPECT_TRUE(contains(message_of(ExitCode::malformed, [&] { Config::load(weights); }),
                       "put the model's config.json beside the weights"));
  EXPECT_TRUE(contains(message_of(ExitCode::usage, [&] { Config::load(folder / "nowhere"); }),
                       "no such file or folder"));
}

TEST(ConfigTest, NamesAKeyThatIsThereTwice) {
  const auto broken = [](const std::string& text) {
    return message_of(ExitCode::malformed, [&] { Config::parse(text, "config.json"); });
  };
  EXPECT_TRUE(contains(broken(R"({"n_embd": 8, "x": {}, "n_embd": 8})"),
                       "config.json: key 'n_embd' is there twice"));
  EXPECT_TRUE(contains(broken(R"({"a": [{"b": {}, "c": 1, "c": 2}]})"), "key 'c' is there twice"));
  EXPECT_NO_THROW(
      Config::parse(R"({"a": {"a": 1}, "b": [{"a": 1}, {"a": 2}], "c": {"b": 3}})", "config.json"));
}

TEST(ConfigTest, NamesThePlaceWhereItIsBroken) {
  const auto broken = [](const std::string& text) {
    return message_of(ExitCode::malformed, [&] { Config::parse(text, "config.json"); });
  };
  EXPECT_TRUE(
      contains(broken("{\n\"a\": 1,\n}"), "config.json: not JSON at line 3, column 1 (byte 10)"));
  EXPECT_TRUE(contains(broken(""), "config.json: not JSON at line 1, column 1"));
  EXPECT_TRUE(contains(broken("[1]"), "config.json: is [1] (an array), expected a JSON object"));
  EXPECT_TRUE(contains(broken("{\"a\": 1e999}"), "config.json: not JSON: "));
  EXPECT_TRUE(contains(broken("{\"\xff\": 1}"), "config.json: not UTF-8 at byte 2"));
}

}  // namespace
}  // namespace deadray::test
