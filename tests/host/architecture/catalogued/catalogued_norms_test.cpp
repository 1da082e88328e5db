#include "host/architecture/catalogued/catalogued_norms.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/errors.h"
#include "tests/support/small_model.h"
#include "tests/support/temporary_folder.h"

namespace deadray::test {
namespace {

using Names = std::vector<std::string>;
using Shapes = std::map<std::string, std::vector<std::int64_t>>;

constexpr std::string_view kCatalogue =
    R"({"schema":"deadray/norms/1","transformers":"0"})"
    "\n"
    R"({"model_type":"broken","failed":"ImportError: it needs timm"})"
    "\n"
    R"({"model_type":"cross","norms":[{"name":"neck.{}.norm","kind":"layernorm",)"
    R"("shift":"bias"},{"name":"neck.{}.bn","kind":"other","why":"batch norm"},)"
    R"({"name":"heads_norm","kind":"layernorm","rows":true}],"parts":[)"
    R"({"config":"text_config","model_type":"plain","prefixes":["model.text.",)"
    R"("text.model."],"final":true}]})"
    "\n"
    R"({"model_type":"other_text","prefixes":["model.",""],"norms":[{"name":"last",)"
    R"("kind":"rmsnorm","offset":1,"final":true}]})"
    "\n"
    R"({"model_type":"plain","prefixes":["model.",""],"norms":[{"name":"layers.{}.ln",)"
    R"("kind":"layernorm","shift":"bias","eps":"norm_eps","reads":["layers.{}.q"],)"
    R"("sole":true},{"name":"layers.{}.post","kind":"layernorm","final":true,"also":[)"
    R"("old.{}.post"],"reads":["layers.{+1}.q","/head"]},{"name":"layers.0.conv",)"
    R"("kind":"other","why":"group norm"},{"name":"layers.{}.conv","kind":"rmsnorm",)"
    R"("some":true},{"name":"/head_norm","kind":"layernorm"},)"
    R"({"name":"own","scale":"gamma","kind":"layernorm"}],)"
    R"("unscaled":{"embed_norm":"layernorm"}})"
    "\n";

class CataloguedNormsTest : public ::testing::Test {
 protected:
  CataloguedNormsTest() { folder_.write("norms.jsonl", std::string(kCatalogue)); }

  CataloguedNorms find(const std::string& config, const Shapes& shapes) const {
    SmallTensors tensors;
    for (const auto& [name, shape] : shapes) tensors[name] = random_tensor(shape, 1, 1.0F);
    write_tensors(folder_ / "m.safetensors", tensors);
    return catalogued_norms(TypeCatalogue(folder_ / "norms.jsonl"),
                            Config::parse(config, "config.json"),
                            Checkpoint::open(folder_ / "m.safetensors"));
  }
  /// "name kind offset", and " final" of the last.
  static Names sites(const CataloguedNorms& found) {
    Names all;
    for (const NormSite& site : found.sites)
      all.push_back(site.name + " " + std::string(to_string(site.kind)) + " " +
                    std::to_string(static_cast<int>(site.weight_offset)) +
                    (site.is_final ? " final" : ""));
    return all;
  }
  static bool told(const CataloguedNorms& found, std::string_view text) {
    return std::any_of(found.notes.begin(), found.notes.end(),
                       [&](const std::string& note) { return note.find(text) != note.npos; });
  }
  std::string refusal(ExitCode code, const std::string& config, const Shapes& shapes) const {
    return message_of(code, [&] { find(config, shapes); });
  }

  TemporaryFolder folder_;
};

const std::string kPlain = R"({"model_type": "plain", "norm_eps": 0.5})";

TEST_F(CataloguedNormsTest, FindsNormsUnderEveryPrefixAndNothingElse) {
  for (const std::string prefix : {"model.", ""}) {
    const auto found = find(kPlain, {{prefix + "layers.0.ln.weight", {4}},
                                     {prefix + "layers.0.ln.bias", {4}},
                                     {prefix + "layers.0.post.weight", {4}},
                                     {prefix + "layers.10.ln.weight", {4}},
                                     {prefix + "layers.10.post.weight", {4}},
                                     {prefix + "layers.0.q.weight", {6, 4}},
                                     {"head_norm.weight", {4}}});
    EXPECT_EQ(sites(found),
              (Names{"head_norm layernorm 0", prefix + "layers.0.ln layernorm 0",
                     prefix + "layers.0.post layernorm 0", prefix + "layers.10.ln layernorm 0",
                     prefix + "layers.10.post layernorm 0 final"}));
    EXPECT_EQ(found.sites[1].bias, prefix + "layers.0.ln.bias");
    EXPECT_EQ(found.sites[1].eps, 0.5);
    EXPECT_EQ(found.sites[1].block, 0);
    EXPECT_EQ(found.sites[3].block, 10);
    EXPECT_TRUE(told(found, "1 of 5 norms store no shift"));
    EXPECT_TRUE(told(found, "embed_norm store nothing"));
  }
}

TEST_F(CataloguedNormsTest, ReadersAreThoseThatTheCheckpointHolds) {
  const auto found = find(kPlain, {{"layers.0.ln.weight", {4}},
                                   {"layers.0.post.weight", {4}},
                                   {"layers.0.q.weight", {6, 4}},
                                   {"layers.0.q.bias", {6}},
                                   {"layers.1.ln.weight", {4}},
                                   {"layers.1.post.weight", {4}},
                                   {"layers.1.q.weight", {4, 6}},
                                   {"head.weight", {9, 4}}});
  const NormSite &ln = found.sites[0], &post = found.sites[1], &last = found.sites[3];
  ASSERT_EQ(ln.consumers.size(), 1U);
  EXPECT_EQ(ln.consumers[0].name, "layers.0.q");
  EXPECT_EQ(ln.consumers[0].width, 6);
  EXPECT_TRUE(ln.consumers[0].has_bias);
  EXPECT_FALSE(ln.consumers[0].transposed);
  EXPECT_FALSE(ln.feeds_residual) << "the catalogue says that nothing else reads it";
  ASSERT_EQ(post.consumers.size(), 2U) << "of the next block, and the head";
  EXPECT_EQ(post.consumers[0].name, "layers.1.q");
  EXPECT_TRUE(post.consumers[0].transposed) << "[4, 6] with a norm of width 4";
  EXPECT_TRUE(post.feeds_residual) << "others may read it";
  ASSERT_EQ(last.consumers.size(), 1U);
  EXPECT_EQ(last.consumers[0].name, "head");
}

TEST_F(CataloguedNormsTest, NumbersThatStandSayMoreThanOpenOnes) {
  const auto found = find(kPlain, {{"layers.0.conv.weight", {4}}, {"layers.1.conv.weight", {4}}});
  EXPECT_EQ(sites(found), Names{"layers.1.conv rmsnorm 0"});
  EXPECT_TRUE(told(found, "not predicted: layers.0.conv: group norm"));
}

TEST_F(CataloguedNormsTest, OlderNamesAndEndingsAreKnown) {
  const auto found = find(kPlain, {{"old.0.post.gamma", {4}}, {"old.0.post.beta", {4}}});
  ASSERT_EQ(sites(found), Names{"old.0.post layernorm 0 final"});
  EXPECT_EQ(found.sites[0].weight, "old.0.post.gamma");
  EXPECT_EQ(found.sites[0].bias, "old.0.post.beta");
}

TEST_F(CataloguedNormsTest, ATypesOwnEndingIsNotTakenForAnOlderOne) {
  EXPECT_EQ(sites(find(kPlain, {{"own.gamma", {4}}})), Names{"own layernorm 0"});
}

TEST_F(CataloguedNormsTest, PartsAreOfTheTypeThatTheConfigurationNames) {
  const Shapes shapes{{"neck.0.norm.weight", {4}},     {"neck.0.bn.weight", {4}},
                      {"neck.0.bn.running_mean", {4}}, {"heads_norm.weight", {2, 3}},
                      {"model.text.last.weight", {4}}, {"text.model.layers.0.ln.weight", {4}}};
  const auto as_default = find(R"({"model_type": "cross"})", shapes);
  EXPECT_EQ(sites(as_default),
            (Names{"heads_norm.0 layernorm 0", "heads_norm.1 layernorm 0",
                   "neck.0.norm layernorm 0", "text.model.layers.0.ln layernorm 0"}));
  EXPECT_EQ(as_default.sites[1].row, 1);
  EXPECT_EQ(as_default.sites[1].hidden_size, 3);
  EXPECT_FALSE(told(as_default, "running_mean"));
  const auto other =
      find(R"({"model_type": "cross", "text_config": {"model_type": "other_text"}})", shapes);
  EXPECT_EQ(sites(other).back(), "model.text.last rmsnorm 1 final");
  EXPECT_TRUE(told(other, "text_config is a 'other_text'"));
  EXPECT_TRUE(told(other, "text.model.layers.#.ln.weight"))
      << "called as a norm, and none of this type's";
  const auto unknown =
      find(R"({"model_type": "cross", "text_config": {"model_type": "nobody's"}})", shapes);
  EXPECT_TRUE(told(unknown, "text_config are left out"));
}

TEST_F(CataloguedNormsTest, ABlockThatLacksANormIsTold) {
  const auto found = find(kPlain, {{"layers.0.ln.weight", {4}},
                                   {"layers.0.post.weight", {4}},
                                   {"layers.1.post.weight", {4}},
                                   {"layers.1.conv.weight", {4}}});
  EXPECT_TRUE(told(found, "layers.{}.ln: absent in 1 of 2 blocks: 1"));
  EXPECT_FALSE(told(found, "conv: absent")) << "which some blocks have";
}

TEST_F(CataloguedNormsTest, WhatIsNotKnownIsRefusedWithTheReason) {
  const Shapes shapes{{"a.weight", {4}}};
  EXPECT_TRUE(contains(refusal(ExitCode::unsupported, R"({"model_type": "broken"})", shapes),
                       "could not be built from its default configuration (ImportError: it needs "
                       "timm)"));
  EXPECT_TRUE(contains(refusal(ExitCode::unsupported, R"({"model_type": "plaine"})", shapes),
                       "did you mean 'plain'?"));
  EXPECT_TRUE(
      contains(refusal(ExitCode::unsupported,
                       R"({"model_type": "own", "auto_map": {"AutoModel": "x.Y"}})", shapes),
               "its class is its own code (auto_map)"));
  EXPECT_TRUE(contains(refusal(ExitCode::unsupported, kPlain, shapes), "none of its 1 tensors"));
  EXPECT_TRUE(contains(refusal(ExitCode::malformed, kPlain, {{"layers.0.ln.weight", {2, 3}}}),
                       "has shape [2, 3], expected one axis"));
  EXPECT_TRUE(contains(refusal(ExitCode::malformed, R"({"model_type": "cross"})",
                               {{"heads_norm.weight", {10001, 1}}}),
                       "expected [heads, width] with at most 10000 heads"));
  EXPECT_TRUE(contains(refusal(ExitCode::malformed, kPlain,
                               {{"layers.0.ln.weight", {4}}, {"layers.0.ln.bias", {5}}}),
                       "expected [4]"));
}

TEST_F(CataloguedNormsTest, ADamagedLineIsRefusedOnlyWhereItsTypeIsAskedFor) {
  folder_.write("norms.jsonl",
                std::string(kCatalogue) + "{\"model_type\":\"torn\",\"norms\":[{}]}\n");
  EXPECT_EQ(find(kPlain, {{"layers.0.ln.weight", {4}}}).sites.size(), 1U);
  EXPECT_TRUE(contains(refusal(ExitCode::malformed, R"({"model_type": "torn"})", {{"a", {4}}}),
                       "not as scripts/norm_catalogue writes it"));
}

TEST(TypeCatalogueTest, AFileThatIsNotThereHasNoTypes) {
  EXPECT_TRUE(TypeCatalogue("").empty());
  EXPECT_TRUE(TypeCatalogue("/nonexistent/norms.jsonl").names().empty());
}

}  // namespace
}  // namespace deadray::test
