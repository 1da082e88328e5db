#include "host/architecture/discover_norms.h"

#include <gtest/gtest.h>

#include "host/architecture/select_sites.h"
#include "tests/support/errors.h"
#include "tests/support/small_model.h"
#include "tests/support/temporary_folder.h"

namespace deadray::test {
namespace {

using Names = std::vector<std::string>;
using Shapes = std::map<std::string, std::vector<std::int64_t>>;

/// A checkpoint of tensors about 1.
class DiscoverNormsTest : public ::testing::Test {
 protected:
  Checkpoint checkpoint(const Shapes& shapes) const {
    SmallTensors tensors;
    for (const auto& [name, shape] : shapes) tensors[name] = random_tensor(shape, 1, 1.0F);
    write_tensors(folder_ / "m.safetensors", tensors);
    return Checkpoint::open(folder_ / "m.safetensors");
  }
  DiscoveredNorms discover(const Shapes& shapes) const {
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

TEST_F(DiscoverNormsTest, FindScalesAlone) {
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
  EXPECT_EQ(found.notes, Names{"scale and shift of one norm are read from gamma, no shift"});
  EXPECT_TRUE(
      contains(message_of(ExitCode::malformed, [&] { discover({{"c.linear.weight", {1}}}); }),
               "none of its 1 tensors"));
}

TEST_F(DiscoverNormsTest, TellTheFinalNormByItsPlaceAndNotByTheAlphabet) {
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

TEST_F(DiscoverNormsTest, TellWhatWasNotTakenForANorm) {
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

TEST_F(DiscoverNormsTest, ReadsOtherNamesOfScaleAndShiftAndSaysSo) {
  const auto found = discover({{"a.layer_norm.a_2", {2}},
                               {"a.layer_norm.b_2", {2}},
                               {"b.ln_1.g", {2}},
                               {"b.ln_1.b", {2}},
                               {"c.linear_qkv.layer_norm_weight", {2}},
                               {"c.linear_qkv.layer_norm_bias", {2}},
                               {"c.linear_qkv.weight", {6, 2}},
                               {"d.norm.gamma", {2}},
                               {"d.norm.beta", {2}}});
  EXPECT_EQ(names(found), (Names{"a.layer_norm", "b.ln_1", "c.linear_qkv.layer_norm", "d.norm"}));
  for (const NormSite& site : found.sites) EXPECT_FALSE(site.bias.empty()) << site.name;
  EXPECT_EQ(found.sites[2].weight, "c.linear_qkv.layer_norm_weight");
  EXPECT_EQ(found.sites[2].bias, "c.linear_qkv.layer_norm_bias");
  const Names readings{
      "scale and shift of one norm are read from a_2, b_2",
      "scale and shift of one norm are read from g, b",
      "scale and shift of one norm are read from gamma, beta",
      "scale and shift of one norm are read from layer_norm_weight, layer_norm_bias"};
  EXPECT_EQ(found.notes, readings);
}

TEST_F(DiscoverNormsTest, TakesNothingForANormThatItsSiblingsShowToBeNone) {
  const auto found = discover({{"tanh.norm1.weight", {2}},
                               {"tanh.norm1.alpha", {1}},
                               {"batch.norm.weight", {2}},
                               {"batch.norm.running_mean", {2}},
                               {"picture.norm1.weight", {2}},
                               {"picture.conv1.weight", {4, 2, 3, 3}},
                               {"convnext.norm.weight", {2}},
                               {"convnext.dwconv.weight", {2, 1, 7, 7}},
                               {"convnext.pwconv1.weight", {8, 2}},
                               {"plain.norm.weight", {2}}});
  EXPECT_EQ(names(found), (Names{"convnext.norm", "plain.norm"}));
  ASSERT_EQ(found.notes.size(), 3U);
  EXPECT_TRUE(contains(found.notes[0], "tanh.norm1: an alpha"));
  EXPECT_TRUE(contains(found.notes[1], "picture.norm1: convolutions"));
  EXPECT_TRUE(contains(found.notes[2], "batch.norm: running statistics"));
  EXPECT_TRUE(
      contains(message_of(ExitCode::unsupported,
                          [&] { discover({{"a.norm.weight", {2}}, {"a.norm.alpha", {2}}}); }),
               "no norm: a.norm: an alpha is beside it"));
}

}  // namespace
}  // namespace deadray::test
