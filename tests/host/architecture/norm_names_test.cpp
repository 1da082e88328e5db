#include "host/architecture/norm_names.h"

#include <gtest/gtest.h>

#include "host/architecture/catalogue.h"
#include "host/architecture/select_sites.h"
#include "tests/support/errors.h"
#include "tests/support/small_model.h"
#include "tests/support/temporary_folder.h"

namespace deadray::test {
namespace {

using Names = std::vector<std::string>;

/// A checkpoint of tensors of ones.
class NormNamesTest : public ::testing::Test {
 protected:
  Checkpoint checkpoint(const std::map<std::string, std::vector<std::int64_t>>& shapes) const {
    SmallTensors tensors;
    for (const auto& [name, shape] : shapes) tensors[name] = random_tensor(shape, 1, 1.0F);
    write_tensors(folder_ / "m.safetensors", tensors);
    return Checkpoint::open(folder_ / "m.safetensors");
  }
  DiscoveredNorms discover(const std::map<std::string, std::vector<std::int64_t>>& shapes) const {
    return discover_norms(checkpoint(shapes), NormKind::layernorm, 0.0);
  }
  static Names names(const DiscoveredNorms& found) {
    Names all;
    for (const NormSite& site : found.sites)
      all.push_back(site.name + (site.is_final ? " (final)" : ""));
    return all;
  }

  TemporaryFolder folder_;
};

TEST_F(NormNamesTest, OrderNumbersByTheirValue) {
  const Names ordered{"h",       "h.0.ln",   "h.2.ln_1", "h.2.ln_2", "h.2.ln_10",
                      "h.10.ln", "h.100.ln", "h.x",      "i"};
  for (std::size_t i = 0; i < ordered.size(); ++i)
    for (std::size_t j = 0; j < ordered.size(); ++j)
      EXPECT_EQ(comes_before(ordered[i], ordered[j]), i < j) << ordered[i] << " " << ordered[j];
  EXPECT_NE(comes_before("h.01", "h.1"), comes_before("h.1", "h.01"))
      << "one of them must come first";
  EXPECT_TRUE(comes_before("h.00000000000000000000000000000000009", "h.10"));
}

TEST_F(NormNamesTest, TellNumberedPartsFromNumberedNorms) {
  for (const char* site : {"h.3.ln_1", "layer_3.norm", "norms.3", "a.2.c.norm"})
    EXPECT_TRUE(is_in_numbered_part(site)) << site;
  for (const char* site : {"ln_1", "encoder.norm2", "norm", "", "a.b.ln_f",
                           "wav2vec2.encoder.layer_norm", "phi3.model.norm"})
    EXPECT_FALSE(is_in_numbered_part(site)) << site;
}

TEST_F(NormNamesTest, FindScalesAlone) {
  const auto found = discover_norms(checkpoint({{"a.ln_1.bias", {1}},
                                                {"a.ln_1.weight", {1}},
                                                {"b.Norm.gamma", {1}},
                                                {"c.linear.weight", {1}},
                                                {"d.dense.weight", {1, 1}}}),
                                    NormKind::layernorm, 1.0);
  ASSERT_EQ(found.sites.size(), 2U);
  EXPECT_EQ(found.sites[0].name, "a.ln_1");
  EXPECT_EQ(found.sites[0].bias, "a.ln_1.bias");
  EXPECT_EQ(found.sites[0].weight_offset, 1.0);
  EXPECT_EQ(found.sites[1].weight, "b.Norm.gamma");
  EXPECT_TRUE(found.sites[1].bias.empty());
  EXPECT_TRUE(found.notes.empty());
  EXPECT_TRUE(
      contains(message_of(ExitCode::malformed, [&] { discover({{"c.linear.weight", {1}}}); }),
               "none of its 1 tensors"));
}

TEST_F(NormNamesTest, TellTheFinalNormByItsPlaceAndNotByTheAlphabet) {
  std::map<std::string, std::vector<std::int64_t>> shapes{{"final_layer_norm.weight", {2}}};
  for (const char* block : {"9", "31", "10"})
    shapes[std::string("layers.") + block + ".norm.weight"] = {2};
  EXPECT_EQ(names(discover(shapes)), (Names{"layers.9.norm", "layers.10.norm", "layers.31.norm",
                                            "final_layer_norm (final)"}));
  shapes["embeddings.LayerNorm.weight"] = {2};
  EXPECT_EQ(names(discover(shapes)).back(), "final_layer_norm (final)")
      << "an embedding's norm is the first";
  shapes.erase("final_layer_norm.weight");
  EXPECT_EQ(names(discover(shapes)),
            (Names{"embeddings.LayerNorm", "layers.9.norm", "layers.10.norm", "layers.31.norm"}));
  shapes.erase("embeddings.LayerNorm.weight");
  shapes["encoder.norm.weight"] = shapes["decoder.norm.weight"] = {2};
  EXPECT_EQ(names(discover(shapes)).front(), "decoder.norm") << "two may be it: none is";
  EXPECT_TRUE(
      contains(message_of(ExitCode::usage, [&] { select_sites(discover(shapes).sites, "final"); }),
               "--site NAME with one of 5 names, such as decoder.norm, encoder.norm"));
}

TEST_F(NormNamesTest, TellWhatWasNotTakenForANorm) {
  const auto found = discover({{"ln_f.weight", {2}},
                               {"h.0.q_norm.weight", {3, 2}},
                               {"h.0.norm.linear.weight", {2, 2}},
                               {"x.norm.bias", {2}}});
  EXPECT_EQ(names(found), Names{"ln_f (final)"});
  ASSERT_EQ(found.notes.size(), 1U);
  EXPECT_TRUE(contains(found.notes[0], "2 tensors are left out"));
  EXPECT_TRUE(contains(found.notes[0], "h.0.q_norm.weight [3, 2], x.norm.bias [2]"));
  const std::string message = message_of(
      ExitCode::malformed, [&] { discover({{"norm.weight", {8}}, {"norm.bias", {3}}}); });
  EXPECT_TRUE(contains(
      message, "m.safetensors: tensor 'norm.bias': shape [3], expected [8] as 'norm.weight' has"));
}

TEST_F(NormNamesTest, TellWhichNormsTheConfigurationDoesNotDescribe) {
  const Architecture gpt2 = describe_architecture(Config::parse(kSmallConfig, "config.json"));
  const auto notes = [&](const std::vector<std::string>& more, bool strict = false) {
    SmallTensors tensors = small_gpt2();
    for (const std::string& name : more) tensors[name] = random_tensor({kSmallWidth}, 1);
    write_tensors(folder_ / "m.safetensors", tensors);
    const Checkpoint checkpoint = Checkpoint::open(folder_ / "m.safetensors");
    std::vector<std::string> all;
    note_undescribed_norms(checkpoint, gpt2, norm_sites(gpt2, &checkpoint), strict, all);
    return all;
  };
  EXPECT_TRUE(notes({}).empty());
  EXPECT_TRUE(notes({"adapter_norm.linear.weight", "h.0.attn.bias"}).empty());
  const auto one = notes({"text_model.ln.weight", "text_model.ln.bias"});
  ASSERT_EQ(one.size(), 1U);
  EXPECT_TRUE(
      one[0].ends_with("one norm is left out, of which config.json says nothing: text_model.ln"))
      << one[0];
  const auto blocks = notes({"h.10.ln_1.weight", "h.2.ln_1.weight", "h.2.ln_2.weight",
                             "h.2.ln_2.bias", "h.3.ln_1.weight"});
  ASSERT_EQ(blocks.size(), 1U);
  EXPECT_TRUE(contains(blocks[0], "m.safetensors: 4 norms are left out"));
  EXPECT_TRUE(contains(blocks[0],
                       "h.2.ln_1, h.2.ln_2, h.3.ln_1 and 1 more; the weights have more blocks than "
                       "config.json says"));
  EXPECT_TRUE(contains(
      message_of(ExitCode::malformed, [&] { notes({"text_model.ln.weight"}, /*strict=*/true); }),
      "one norm is left out"));
}

// What is a family's own layout must not be told of.
TEST_F(NormNamesTest, HaveNothingToTellOfTheFixtures) {
  for (const auto& entry : fs::directory_iterator(fs::path(DEADRAY_FIXTURES) / "models")) {
    if (!entry.is_directory()) continue;
    const Architecture architecture = describe_architecture(Config::load(entry.path()));
    const Checkpoint checkpoint = Checkpoint::open(entry.path());
    std::vector<std::string> notes;
    note_undescribed_norms(checkpoint, architecture, norm_sites(architecture, &checkpoint),
                           /*strict=*/false, notes);
    EXPECT_TRUE(notes.empty()) << entry.path() << ": " << notes.front();
  }
}

}  // namespace
}  // namespace deadray::test
